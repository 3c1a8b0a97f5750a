<?php

declare(strict_types=1);

namespace Cerber;

/** The gateway's three signatures. A secret is the whole text `whsec_…`, never decoded first. */
final class Signing
{
    private const SECRET = '/^whsec_[A-Za-z0-9+\/]{43}=$/D'; // base64 of 32 bytes

    /** `Signature`: of a request's raw body or query string, and of a webhook's body. */
    public static function sign(string $secret, string $message): string
    {
        return hash_hmac('sha256', $message, $secret);
    }

    /** `Signature-V2`: of the call (`POST`, `/bot_api/get_wallet/`) and the Unix time as well. */
    public static function signV2(string $secret, string $method, string $path, int $seconds, string $message): string
    {
        return "t=$seconds,v2=" . self::sign($secret, "$method\n$path\n$seconds\n$message");
    }

    /** One of those in `webhook-signature`, by Standard Webhooks: here the key is what the secret decodes to. */
    public static function standard(string $secret, string $webhook_id, string $timestamp, string $body): string
    {
        $key = (string) base64_decode(substr($secret, strlen('whsec_')), true);
        return 'v1,' . base64_encode(hash_hmac('sha256', "$webhook_id.$timestamp.$body", $key, true));
    }

    /** The secret, if it has the form that was given out. Throws InvalidArgumentException, without showing it. */
    public static function checked(#[\SensitiveParameter] string $secret, string $name): string
    {
        if (!preg_match(self::SECRET, $secret)) {
            throw new \InvalidArgumentException("$name must be the whole text that was given out, whsec_ included");
        }
        return $secret;
    }
}
