<?php

declare(strict_types=1);

namespace Cerber;

/** `cursor`: what to ask for the next page with, as `after`. */
final class EventPage
{
    /** @param list<Event> $events */
    public function __construct(
        public readonly array $events,
        public readonly ?string $cursor,
        public readonly bool $has_more,
    ) {
    }
}
