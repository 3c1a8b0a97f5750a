<?php

/** The PHP client, told by standard input what to do: a JSON object a line, answered with one. */

declare(strict_types=1);

use Cerber\ApiError;
use Cerber\CerberError;
use Cerber\Client;
use Cerber\Money;
use Cerber\Signing;
use Cerber\Status;
use Cerber\Webhooks;

require dirname(__DIR__, 4) . '/clients/php/autoload.php';
set_error_handler(static function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level) {
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return false;
});

function events(Client $client, int $count, mixed ...$how): array
{
    $found = [];
    foreach ($client->events(...$how) as $event) {
        $found[] = $event;
        if (count($found) === $count) {
            break;
        }
    }
    return $found;
}

function verify(string $check, string $body, array $headers, string $secret, ?int $now = null): bool
{
    if ($check === 'standard') {
        Webhooks::verify($body, $headers, $secret, $now);
    } else {
        Webhooks::verifySignature($body, $headers, $secret);
    }
    return true;
}

function told(Throwable $error): array
{
    if (!$error instanceof ApiError) {
        $types = [InvalidArgumentException::class => 'ValueError'];
        $type = $types[$error::class] ?? (new ReflectionClass($error))->getShortName();
        return ['error' => $type, 'detail' => $error->getMessage()];
    }
    return [
        'error' => 'ApiError',
        'status' => $error->status,
        'code' => $error->code,
        'detail' => $error->detail,
        'errors' => array_map('array_values', $error->errors),
        'payment_status' => $error->payment_status,
        'retry_after' => $error->retry_after,
    ];
}

$client = null;
$orders = [
    'client' => static function (mixed ...$how) use (&$client): bool {
        foreach (['timeout', 'patience'] as $name) {
            if (isset($how[$name])) {
                $how[$name] = (float) $how[$name];
            }
        }
        $client = new Client(...$how);
        return true;
    },
    'get_wallet' => static function (mixed ...$fields) use (&$client) {
        return $client->getWallet(...$fields);
    },
    'update_status' => static function (string $payment_id, string $status) use (&$client) {
        return $client->updateStatus($payment_id, Status::from($status));
    },
    'get_status' => static function (string $payment_id) use (&$client) {
        return $client->getStatus($payment_id);
    },
    'get_balance' => static function (mixed ...$asked) use (&$client) {
        return $client->getBalance(...$asked);
    },
    'get_events' => static function (mixed ...$asked) use (&$client) {
        return $client->getEvents(...$asked);
    },
    'events' => static function (int $count, mixed ...$how) use (&$client) {
        return events($client, $count, ...$how);
    },
    'sign' => Signing::sign(...),
    'sign_v2' => Signing::signV2(...),
    'verify' => verify(...),
    'read_webhook' => Webhooks::read(...),
    'qepik' => Money::qepik(...),
    'manat' => Money::manat(...),
];
while (($line = fgets(STDIN)) !== false) {
    $order = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    try {
        $told = ['done' => $orders[$order['do']](...$order['with'])];
    } catch (CerberError | InvalidArgumentException | TypeError $error) {
        $told = told($error);
    }
    echo json_encode($told, JSON_THROW_ON_ERROR), "\n";
}
