"""A snapshot of the figures, and of what presses, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cerber.payments.pressure import Pressure
from cerber.webhooks.client.failures import Failure
from cerber.webhooks.kinds import Kind
from cerber.webhooks.worker import series
from cerber.webhooks.worker.counters import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST

_KINDS = tuple(kind.value for kind in Kind)
_ANSWERED = (Failure.status, Failure.redirect)  # their attempts are counted by the class of the status
_OUTCOMES = ("2xx", "3xx", "4xx", "5xx", *(failure.value for failure in Failure if failure not in _ANSWERED))


def text(snapshot: Snapshot, pressure: Pressure, failed_logins: int) -> bytes:
    """`failed_logins`: of operators, in the last hour."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(snapshot, failed_logins))
    registry.register(_Pressure(pressure))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, snapshot: Snapshot, failed_logins: int) -> None:
        self._now, self._failed_logins = snapshot, failed_logins

    def collect(self) -> Iterable[Metric]:
        now, totals = self._now, self._now.totals
        kinds = series.labelled(totals, series.EVENTS, _KINDS)
        outcomes = series.labelled(totals, series.ATTEMPTS, _OUTCOMES)
        yield _counter("cerber_events", "Events, counted at their first attempt", "type", kinds)
        yield _counter("cerber_attempts", "Attempts to deliver, by what came of them", "outcome", outcomes)
        first, delivery = (series.histogram(totals, name) for name in (series.FIRST_ATTEMPT, series.DELIVERY))
        yield _histogram("cerber_first_attempt_seconds", "From an event's commit to its first attempt", first)
        yield _histogram("cerber_delivery_seconds", "From an event's commit to the answer that took it", delivery)
        waiting = {"due": now.due, "later": now.later, "held": now.held}
        yield _gauges("cerber_events_waiting", "Events not delivered and not given up", "state", waiting)
        yield _gauge(
            "cerber_oldest_due_seconds", "For how long an event has been due that could be sent", now.oldest_due
        )
        breakers = {"closed_failing": now.breakers_failing, "held": now.breakers_held}
        yield _gauges(
            "cerber_breakers", "Endpoints that are failing, and those whose events are held", "state", breakers
        )
        yield _gauge("cerber_endpoints_held", "Endpoints whose events are held", now.breakers_held)
        yield _gauge("cerber_workers_alive", "Workers with a heartbeat within the last minute", now.workers_alive)
        yield _gauge("cerber_failed_logins", "Log-ins of operators that failed in the last hour", self._failed_logins)
        if now.heartbeat_age is not None:
            age = "Since the youngest heartbeat of any worker; missing where there was none for a day"
            yield _gauge("cerber_worker_heartbeat_age_seconds", age, now.heartbeat_age)


class _Pressure(Collector):
    def __init__(self, pressure: Pressure) -> None:
        self._now = pressure

    def collect(self) -> Iterable[Metric]:
        now = self._now
        wallets = {"able": now.able, "full": now.wallets - now.able}
        yield _gauges(
            "cerber_wallets", "Wallets that are not paused: those that can take a payment, or not", "state", wallets
        )
        yield _gauge(
            "cerber_merchants_near_cap", "Merchants who hold nine tenths of what they may", len(now.pressing)
        )
        yield _gauge("cerber_payments_stuck", "Confirming payments that no person touched for 24 h", now.stuck)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, values: series.Histogram) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=list(values.buckets), sum_value=values.seconds)
    return family
