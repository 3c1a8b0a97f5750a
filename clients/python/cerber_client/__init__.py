"""Takes payments through a Cerber gateway, and reads its webhooks.

from cerber_client import Cerber, read_webhook
"""

from cerber_client.client import Cerber
from cerber_client.errors import ApiError, BadWebhook, CerberError, Unreachable
from cerber_client.money import manat, qepik
from cerber_client.signing import sign, sign_v2
from cerber_client.types import Balance, Event, EventPage, Kind, Status, Wallet
from cerber_client.webhooks import read_webhook, verify_signature, verify_webhook

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "BadWebhook",
    "Balance",
    "Cerber",
    "CerberError",
    "Event",
    "EventPage",
    "Kind",
    "Status",
    "Unreachable",
    "Wallet",
    "manat",
    "qepik",
    "read_webhook",
    "sign",
    "sign_v2",
    "verify_signature",
    "verify_webhook",
]
