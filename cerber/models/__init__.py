"""The tables, a file per aggregate. Importing this package makes them all known to the migrations."""

from cerber.models.audit import AuditEntry
from cerber.models.merchant import Merchant, MerchantSecret
from cerber.models.operator import FailedLogin, Operator
from cerber.models.payment import Payment, Transfer
from cerber.models.wallet import Wallet
from cerber.models.webhook import Breaker, Endpoint, Figure, Webhook, WebhookAttempt, Worker

__all__ = [
    "AuditEntry",
    "Breaker",
    "Endpoint",
    "FailedLogin",
    "Figure",
    "Merchant",
    "MerchantSecret",
    "Operator",
    "Payment",
    "Transfer",
    "Wallet",
    "Webhook",
    "WebhookAttempt",
    "Worker",
]
