<?php

declare(strict_types=1);

namespace Cerber;

/** @internal What the gateway tells. Numbers stay text: no sum becomes a float, and an id is a text either way. */
final class Json
{
    private const STRING_OR_NUMBER = '/"(?:[^"\\\\]++|\\\\.)*+"|-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?/';

    /**
     * An object, with all numbers in it as their own text. Throws JsonException.
     *
     * @return array<string, mixed>
     */
    public static function read(string $text): array
    {
        json_decode($text, flags: JSON_THROW_ON_ERROR);
        $quote = static fn (array $found): string => $found[0][0] === '"' ? $found[0] : "\"$found[0]\"";
        $told = json_decode((string) preg_replace_callback(self::STRING_OR_NUMBER, $quote, $text), true);
        if (!is_array($told) || $told === [] || array_is_list($told)) {
            throw new \JsonException('this is no object');
        }
        return $told;
    }

    /** @param array<string, string> $fields */
    public static function write(array $fields): string
    {
        return json_encode($fields, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
    }
}
