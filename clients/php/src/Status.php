<?php

declare(strict_types=1);

namespace Cerber;

/** What a payment is. */
enum Status: string
{
    case Pending = 'pending';
    case Confirming = 'confirming';
    case Accept = 'accept';
    case Cancel = 'cancel';
}
