<?php

declare(strict_types=1);

namespace Cerber;

/** What an event tells. */
enum Kind: string
{
    case Accept = 'accept';
    case Cancel = 'cancel';
    case ChangeSum = 'change_sum';
    case Balance = 'balance';
}
