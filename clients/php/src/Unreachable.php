<?php

declare(strict_types=1);

namespace Cerber;

/** No whole answer came in time. Whether the request arrived is unknown; repeating it is safe. */
final class Unreachable extends CerberError
{
    public function mayPass(): bool
    {
        return true;
    }
}
