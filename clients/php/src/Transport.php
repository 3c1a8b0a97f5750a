<?php

declare(strict_types=1);

namespace Cerber;

/** @internal Requests: signed, bounded in time, and repeated where that can help. */
final class Transport
{
    private const USER_AGENT = 'cerber-client-php/0.1.0';
    private const FIRST_PAUSE = 0.5; // seconds
    private const LONGEST_PAUSE = 8.0;

    private readonly string $root;

    /**
     * @param float $timeout seconds for each wait of one attempt
     * @param float $patience seconds after which no further attempt begins
     */
    public function __construct(
        string $base_url,
        private readonly float $timeout,
        private readonly float $patience,
    ) {
        if (!preg_match('~^https?://[^/?#\s]+(/[^?#\s]*)?$~iD', $base_url)) {
            throw new \InvalidArgumentException("'$base_url' is no URL such as https://gateway.example/bot_api/");
        }
        $this->root = (string) preg_replace('~/bot_api$~', '', rtrim($base_url, '/'));
    }

    /**
     * The answer to a call. Throws ApiError and Unreachable, after repeats. By contract every call may be repeated.
     *
     * @param array<string, string> $fields
     * @return array<string, mixed>
     */
    public function send(string $method, string $name, #[\SensitiveParameter] string $secret, array $fields): array
    {
        $ends = microtime(true) + $this->patience;
        for ($pause = self::FIRST_PAUSE; ; $pause = min($pause * 2, self::LONGEST_PAUSE)) {
            try {
                return $this->attempt($method, $name, $secret, $fields);
            } catch (ApiError | Unreachable $error) {
                $wait = self::waitAfter($error, $pause);
                if (!$error->mayPass() || microtime(true) + $wait > $ends) {
                    throw $error;
                }
            }
            self::sleep($wait);
        }
    }

    public static function sleep(float $seconds): void
    {
        usleep((int) ($seconds * 1e6));
    }

    /**
     * @param array<string, string> $fields
     * @return array<string, mixed>
     */
    private function attempt(string $method, string $name, string $secret, array $fields): array
    {
        [$status, $retryAfter, $body] = $this->exchange(...$this->request($method, $name, $secret, $fields));
        try {
            $told = Json::read($body);
        } catch (\JsonException) {
            $told = [];
        }
        if ($status === 200 && $told !== []) {
            return $told;
        }
        throw self::refusal($status, $retryAfter, $told);
    }

    /**
     * URL and options. A GET has its fields in the query.
     *
     * @param array<string, string> $fields
     * @return array{string, array<string, mixed>}
     */
    private function request(string $method, string $name, string $secret, array $fields): array
    {
        $path = "/bot_api/$name/";
        $isGet = $method === 'GET';
        $message = $isGet ? http_build_query($fields, '', '&') : Json::write($fields);
        $headers = [
            'Signature-V2: ' . Signing::signV2($secret, $method, $path, time(), $message),
            'User-Agent: ' . self::USER_AGENT,
            'Accept: application/json',
        ];
        $options = ['method' => $method, 'header' => $headers];
        if (!$isGet) {
            $options['header'][] = 'Content-Type: application/json';
            $options['content'] = $message;
        }
        return [$this->root . $path . ($isGet ? "?$message" : ''), $options];
    }

    /**
     * Status, seconds to wait if it named some, and body. No redirect is followed: a POST would become a GET.
     *
     * @param array<string, mixed> $options
     * @return array{int, ?int, string}
     */
    private function exchange(string $url, array $options): array
    {
        $options += ['timeout' => $this->timeout, 'ignore_errors' => true, 'follow_location' => 0, 'protocol_version' => 1.1];
        $stream = @fopen($url, 'rb', false, stream_context_create(['http' => $options]));
        if ($stream === false) {
            throw new Unreachable('The gateway did not answer: ' . (error_get_last()['message'] ?? ''));
        }
        $head = implode("\n", stream_get_meta_data($stream)['wrapper_data']);
        $length = preg_match('~^Content-Length: *([0-9]+)~mi', $head, $found) ? (int) $found[1] : -1;
        $body = (string) stream_get_contents($stream, $length);
        $isCut = strlen($body) < $length || stream_get_meta_data($stream)['timed_out'];
        fclose($stream);
        if ($isCut || !preg_match('~^HTTP/[0-9.]+ ([0-9]{3})~', $head, $status)) {
            throw new Unreachable('The gateway did not answer: what came was not whole.');
        }
        $named = preg_match('~^Retry-After: *([0-9]+) *$~mi', $head, $seconds);
        return [(int) $status[1], $named ? (int) $seconds[1] : null, $body];
    }

    /** @param array<string, mixed> $told */
    private static function refusal(int $status, ?int $retryAfter, array $told): ApiError
    {
        if (!isset($told['code'])) {
            return new ApiError($status, 'unexpected', "This is no answer of the gateway's.", retry_after: $retryAfter);
        }
        $is = Status::tryFrom($told['payment_status'] ?? '');
        return new ApiError($status, $told['code'], $told['detail'] ?? '', $told['errors'] ?? [], $is, $retryAfter);
    }

    /** Seconds before the next attempt: a little at random, so that many clients don't come back at once. */
    private static function waitAfter(ApiError|Unreachable $error, float $pause): float
    {
        $named = $error instanceof ApiError ? (float) $error->retry_after : 0.0;
        return max($pause * random_int(500, 1000) / 1000, $named);
    }
}
