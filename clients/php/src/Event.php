<?php

declare(strict_types=1);

namespace Cerber;

/**
 * What happened, out of a webhook or out of getEvents. Handle each `id` once.
 *
 * `confirm_sum`: all that has come for the payment so far; `payment_sum`: what it is for, told with ChangeSum alone.
 * `body`: the text as it was signed. `time` (RFC 3339), `state` and `attempts` of the webhook's delivery are known
 * where the event was pulled. Ids are always text, sums decimal texts in manat.
 */
final class Event
{
    public function __construct(
        public readonly string $id,
        public readonly Kind $kind,
        public readonly ?string $payment_id,
        public readonly ?string $confirm_sum,
        public readonly ?string $payment_sum,
        public readonly ?Balance $balance,
        public readonly string $body,
        public readonly ?string $time = null,
        public readonly ?string $state = null,
        public readonly ?int $attempts = null,
    ) {
    }

    /**
     * Reads a webhook's body; `$pulled`: its entry in get_events. Throws JsonException for one that is not known.
     *
     * @param array<string, mixed> $pulled
     */
    public static function of(string $id, string $body, array $pulled = []): self
    {
        $told = Json::read($body);
        $kind = self::kindOf($told);
        $isBalance = $kind === Kind::Balance;
        if (!$isBalance && !isset($told['payment_id'], $told['confirm_sum'])) {
            throw new \JsonException('the body lacks a key');
        }
        return new self(
            $id,
            $kind,
            $isBalance ? null : $told['payment_id'],
            $isBalance ? null : $told['confirm_sum'],
            $told['payment_sum'] ?? null,
            $isBalance ? Balance::of($told) : null,
            $body,
            $pulled['time'] ?? null,
            $pulled['state'] ?? null,
            isset($pulled['attempts']) ? (int) $pulled['attempts'] : null,
        );
    }

    /**
     * The bodies name no kind: by their keys they are told apart.
     *
     * @param array<string, mixed> $told
     */
    private static function kindOf(array $told): Kind
    {
        return match (true) {
            isset($told['canceled_sum']) => Kind::Balance,
            isset($told['payment_sum']) => Kind::ChangeSum,
            ($told['status'] ?? null) === 'confirm' => Kind::Accept,
            ($told['status'] ?? null) === 'cancel' => Kind::Cancel,
            default => throw new \JsonException('the body tells nothing that is known'),
        };
    }
}
