<?php

declare(strict_types=1);

namespace Cerber;

/**
 * A shop at a gateway. Every call may be made again, and is, where that can help. Calls throw ApiError and Unreachable.
 */
final class Client
{
    public const POLL_URL = 'https://poll.invalid/';

    private readonly Transport $transport;

    /**
     * @param string $balance_secret for getBalance and the events alone
     * @param float $timeout seconds for each wait of one attempt
     * @param float $patience seconds after which a call is not tried again; a Retry-After beyond is not waited for
     */
    public function __construct(
        string $base_url,
        private readonly string $merch_id,
        #[\SensitiveParameter] private readonly string $payment_secret = '',
        #[\SensitiveParameter] private readonly string $balance_secret = '',
        float $timeout = 10.0,
        float $patience = 30.0,
    ) {
        foreach (['payment_secret' => $payment_secret, 'balance_secret' => $balance_secret] as $name => $secret) {
            if ($secret !== '') {
                Signing::checked($secret, $name);
            }
        }
        $this->transport = new Transport($base_url, $timeout, $patience);
    }

    /**
     * Opens a payment: where is the payer to send the money? `$sum` in manat as text, `12.50`; `$create_time` is now
     * unless given. With no `$callback_url` nothing is sent, and `events` tells what happens.
     */
    public function getWallet(
        string $payment_id,
        string $user_wallet,
        string $sum,
        string $callback_url = self::POLL_URL,
        ?string $create_time = null,
    ): Wallet {
        $create_time ??= gmdate(DATE_ATOM);
        $fields = compact('payment_id', 'user_wallet', 'sum', 'callback_url', 'create_time');
        $told = $this->paying('POST', 'get_wallet', $fields);
        return new Wallet($told['payment_id'], $told['wallet_number'], $told['wallet_link'], $told['image']);
    }

    /** Tells that the payer says to have paid (Accept), or gives up (Cancel). Gives what the payment now is. */
    public function updateStatus(string $payment_id, Status $status): Status
    {
        $fields = ['payment_id' => $payment_id, 'status' => $status->value];
        return Status::from($this->paying('POST', 'update_status', $fields)['status']);
    }

    public function getStatus(string $payment_id): Status
    {
        return Status::from($this->paying('GET', 'get_status', ['payment_id' => $payment_id])['status']);
    }

    /** Both dates are included; none is open. With `$callback_url` the balance is sent there too. */
    public function getBalance(
        ?string $start_date = null,
        ?string $end_date = null,
        ?string $callback_url = null,
    ): Balance {
        return Balance::of($this->counting('get_balance', compact('start_date', 'end_date', 'callback_url')));
    }

    /** Up to `$limit` (500 at most) events after the one with the id `$after`, or from the first one on. */
    public function getEvents(?string $after = null, int $limit = 100): EventPage
    {
        $told = $this->counting('get_events', ['after' => $after, 'limit' => (string) $limit]);
        $read = static fn (array $entry): Event => Event::of($entry['webhook-id'], $entry['body'], $entry);
        return new EventPage(array_map($read, $told['events']), $told['cursor'], $told['has_more']);
    }

    /**
     * Each event after the one with the id `$after`, in order: store the `id` of each once it is handled.
     *
     * Asks again `$every` so many seconds and never ends, through outages too; without `$follow` it ends with the
     * last event there is. Throws ApiError for what waiting does not mend.
     *
     * @return \Generator<int, Event>
     */
    public function events(
        ?string $after = null,
        bool $follow = true,
        float $every = 5.0,
        int $limit = 100,
    ): \Generator {
        do {
            try {
                $page = $this->getEvents($after, $limit);
            } catch (ApiError | Unreachable $error) {
                if (!$follow || !$error->mayPass()) {
                    throw $error;
                }
                Transport::sleep(max($every, $error instanceof ApiError ? (float) $error->retry_after : 0.0));
                continue;
            }
            foreach ($page->events as $event) {
                yield $event;
            }
            $after = $page->cursor;
            if ($follow && !$page->has_more) {
                Transport::sleep($every);
            }
        } while ($follow || $page->has_more);
    }

    /**
     * @param array<string, string> $fields
     * @return array<string, mixed>
     */
    private function paying(string $method, string $name, array $fields): array
    {
        $secret = self::known($this->payment_secret, 'payment_secret');
        return $this->transport->send($method, $name, $secret, ['merch_id' => $this->merch_id] + $fields);
    }

    /**
     * @param array<string, ?string> $fields
     * @return array<string, mixed>
     */
    private function counting(string $name, array $fields): array
    {
        $secret = self::known($this->balance_secret, 'balance_secret');
        $given = array_filter($fields, static fn (?string $value): bool => $value !== null);
        return $this->transport->send('GET', $name, $secret, ['merch_id' => $this->merch_id] + $given);
    }

    private static function known(#[\SensitiveParameter] string $secret, string $name): string
    {
        if ($secret === '') {
            throw new \InvalidArgumentException("this call is signed with the $name, which was not given");
        }
        return $secret;
    }
}
