<?php

declare(strict_types=1);

namespace Cerber;

/** The webhook is not the gateway's, was changed, is too old, or tells nothing that is known. */
final class BadWebhook extends CerberError
{
}
