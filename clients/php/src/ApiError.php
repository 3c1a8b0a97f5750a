<?php

declare(strict_types=1);

namespace Cerber;

/** The gateway's refusal. */
final class ApiError extends CerberError
{
    /**
     * Stable, such as `payment_closed`; `unexpected` where something else answered in the gateway's place.
     *
     * @var string
     */
    public $code;

    /**
     * @param int $status of HTTP
     * @param list<array{field: string, message: string}> $errors
     * @param ?Status $payment_status what the payment now is, where the refusal is about one
     * @param ?int $retry_after seconds, where the gateway named some
     */
    public function __construct(
        public readonly int $status,
        string $code,
        public readonly string $detail,
        public readonly array $errors = [],
        public readonly ?Status $payment_status = null,
        public readonly ?int $retry_after = null,
    ) {
        $fields = implode('; ', array_map(static fn (array $one): string => "$one[field] $one[message]", $errors));
        parent::__construct("$status $code: $detail" . ($fields === '' ? '' : " ($fields)"));
        $this->code = $code;
    }

    /** A limit, a failure of the gateway's, or its restart. */
    public function mayPass(): bool
    {
        return $this->status === 429 || $this->status >= 500 || ($this->status >= 300 && $this->status < 400);
    }
}
