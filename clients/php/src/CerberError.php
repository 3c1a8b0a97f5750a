<?php

declare(strict_types=1);

namespace Cerber;

/** The gateway refused, did not answer, or a webhook is not its own. Wrong arguments are InvalidArgumentException. */
abstract class CerberError extends \RuntimeException
{
    /** Whether the same request may succeed later. */
    public function mayPass(): bool
    {
        return false;
    }
}
