"""The Python client, told by standard input what to do: a JSON object a line, answered with one."""

import itertools
import json
import sys
from dataclasses import asdict

import cerber_client
from cerber_client import ApiError, BadWebhook, Cerber, Unreachable


def main() -> None:
    client = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if order["do"] == "client":
                client, done = Cerber(**order["with"]), True
            else:
                done = ORDERS[order["do"]](client, **order["with"])
        except ApiError as error:
            kept = ("status", "code", "detail", "errors", "payment_status", "retry_after")
            told = {"error": "ApiError", **{name: getattr(error, name) for name in kept}}
        except (Unreachable, BadWebhook, ValueError, TypeError) as error:
            told = {"error": type(error).__name__, "detail": str(error)}
        else:
            told = {"done": done}
        print(json.dumps(told), flush=True)  # noqa: T201


def verified(check, body, headers, secret, now=None):
    arguments = (body.encode(), headers, secret)
    if check == "standard":
        cerber_client.verify_webhook(*arguments, now)
    else:
        cerber_client.verify_signature(*arguments)
    return True


def read(body, now=None, **others):
    return asdict(cerber_client.read_webhook(body.encode(), now=now, **others))


ORDERS = {
    "get_wallet": lambda client, **fields: asdict(client.get_wallet(**fields)),
    "update_status": lambda client, **fields: client.update_status(**fields),
    "get_status": lambda client, **fields: client.get_status(**fields),
    "get_balance": lambda client, **fields: asdict(client.get_balance(**fields)),
    "get_events": lambda client, **fields: asdict(client.get_events(**fields)),
    "events": lambda client, count, **how: [asdict(one) for one in itertools.islice(client.events(**how), count)],
    "sign": lambda client, secret, message: cerber_client.sign(secret, message.encode()),
    "sign_v2": lambda client, message, **how: cerber_client.sign_v2(**how, message=message.encode()),
    "verify": lambda client, **how: verified(**how),
    "read_webhook": lambda client, **how: read(**how),
    "qepik": lambda client, text: cerber_client.qepik(text),
    "manat": lambda client, amount: cerber_client.manat(amount),
}

if __name__ == "__main__":
    main()
