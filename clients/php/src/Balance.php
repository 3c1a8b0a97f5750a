<?php

declare(strict_types=1);

namespace Cerber;

/** Sums of a shop's payments: received, awaited, and cancelled or written off. Decimal texts in manat. */
final class Balance
{
    public function __construct(
        public readonly string $confirm_sum,
        public readonly string $pending_sum,
        public readonly string $canceled_sum,
    ) {
    }

    /** @param array<string, mixed> $told */
    public static function of(array $told): self
    {
        return new self($told['confirm_sum'], $told['pending_sum'], $told['canceled_sum']);
    }
}
