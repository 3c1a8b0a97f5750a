<?php

declare(strict_types=1);

namespace Cerber;

/** Where the payer is to send the money. `image`: a QR code of the link, PNG in base64. */
final class Wallet
{
    public function __construct(
        public readonly string $payment_id,
        public readonly string $wallet_number,
        public readonly string $wallet_link,
        public readonly string $image,
    ) {
    }
}
