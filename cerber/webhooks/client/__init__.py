"""One attempt to deliver a webhook."""

from cerber.webhooks.client.client import Attempt, Client
from cerber.webhooks.client.failures import Failure

__all__ = ["Attempt", "Client", "Failure"]
