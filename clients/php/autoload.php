<?php

/** For those without Composer: require this file, and nothing else. */

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    if (preg_match('/^Cerber\\\\(\w+)$/', $class, $match) && is_file($file = __DIR__ . "/src/$match[1].php")) {
        require $file;
    }
});
