<?php

declare(strict_types=1);

namespace Cerber;

/** Webhooks: whose they are, and what they tell. Always of the raw bytes, before anything parses them. */
final class Webhooks
{
    private const TOLERANCE = 300; // seconds

    /**
     * The event that a genuine webhook tells. Throws BadWebhook: answer 400 then.
     *
     * Those about payments are signed with the payment secret, balances with the balance secret; one under the
     * other's is refused.
     *
     * @param string $body of `file_get_contents('php://input')`
     * @param array<string, mixed> $headers `$_SERVER`, `getallheaders()`, or a framework's `$request->headers->all()`
     */
    public static function read(
        string $body,
        array $headers,
        #[\SensitiveParameter] string $payment_secret,
        #[\SensitiveParameter] string $balance_secret = '',
        ?int $now = null,
    ): Event {
        $isBalance = str_contains($body, '"canceled_sum":');
        [$secret, $name] = $isBalance ? [$balance_secret, 'balance_secret'] : [$payment_secret, 'payment_secret'];
        if ($secret === '') {
            throw new BadWebhook("a webhook for the $name, which was not given");
        }
        self::verify($body, $headers, $secret, $now);
        try {
            return Event::of(self::header($headers, 'webhook-id'), $body);
        } catch (\JsonException $error) {
            throw new BadWebhook("not a webhook that is known: {$error->getMessage()}");
        }
    }

    /**
     * By Standard Webhooks: unchanged, and sent within five minutes of `$now` (Unix seconds). Throws BadWebhook.
     *
     * @param array<string, mixed> $headers
     */
    public static function verify(
        string $body,
        array $headers,
        #[\SensitiveParameter] string $secret,
        ?int $now = null,
    ): void {
        Signing::checked($secret, 'the secret');
        $id = self::header($headers, 'webhook-id');
        $timestamp = self::header($headers, 'webhook-timestamp');
        if ($id === '' || !preg_match('/^[0-9]{1,15}$/D', $timestamp)) {
            throw new BadWebhook('the headers webhook-id and webhook-timestamp are missing or unreadable');
        }
        if (abs(($now ?? time()) - (int) $timestamp) > self::TOLERANCE) {
            throw new BadWebhook('sent too long ago, or one of the two clocks is wrong');
        }
        $good = Signing::standard($secret, $id, $timestamp, $body);
        $same = false;
        foreach (explode(' ', self::header($headers, 'webhook-signature')) as $sent) { // two during a rotation
            $same = hash_equals($good, $sent) || $same;
        }
        if (!$same) {
            throw new BadWebhook('the signature is wrong');
        }
    }

    /**
     * By the published `Signature` alone, which is bound to no time and no webhook-id. Throws BadWebhook.
     *
     * @param array<string, mixed> $headers
     */
    public static function verifySignature(
        string $body,
        array $headers,
        #[\SensitiveParameter] string $secret,
    ): void {
        $good = Signing::sign(Signing::checked($secret, 'the secret'), $body);
        if (!hash_equals($good, strtolower(self::header($headers, 'signature')))) {
            throw new BadWebhook('the signature is wrong');
        }
    }

    /**
     * In any letter case, as `HTTP_…` of `$_SERVER`, or as a list of one.
     *
     * @param array<string, mixed> $headers
     */
    private static function header(array $headers, string $name): string
    {
        $spellings = [$name, 'http_' . strtr($name, '-', '_')];
        foreach ($headers as $key => $value) {
            if (in_array(strtolower((string) $key), $spellings, true)) {
                $only = is_array($value) ? ($value[0] ?? '') : $value;
                return is_string($only) ? $only : '';
            }
        }
        return '';
    }
}
