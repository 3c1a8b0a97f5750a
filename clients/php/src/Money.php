<?php

declare(strict_types=1);

namespace Cerber;

/** Sums are decimal texts in manat, `12.50`, and never floats. To calculate, take qəpik: whole numbers. */
final class Money
{
    /** A sum in qəpik: `12.5` is 1250, so that `500` and `500.00` compare as equal. */
    public static function qepik(string $text): int
    {
        if (!preg_match('/^([0-9]{1,16})(?:\.([0-9]{1,2}))?$/D', $text, $match)) {
            throw new \InvalidArgumentException("'$text' is no sum such as 12.50");
        }
        return (int) $match[1] * 100 + (int) str_pad($match[2] ?? '', 2, '0');
    }

    /** So many qəpik as the gateway writes a sum: `500`, or `500.50`. */
    public static function manat(int $amount): string
    {
        $whole = (string) intdiv($amount, 100);
        return $amount % 100 === 0 ? $whole : sprintf('%s.%02d', $whole, $amount % 100);
    }
}
