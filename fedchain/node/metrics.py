"""A node's Prometheus metrics: what docs/reference/metrics.md lists, read where it is counted, served over HTTP.

They hold counts, sizes, times, and names of parties; no ids, no values of rows, no keys.
"""

from __future__ import annotations

import threading
from collections import Counter as Counts
from collections.abc import Iterable

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fedchain.chain import ChainEvent, PartyMissing, RoundBegan, UplinkJudged
from fedchain.crypto.counts import ADDED, DECRYPTED, ENCRYPTED
from fedchain.errors import ConfigError
from fedchain.exchange import Exchange
from fedchain.exchange.waits import Wait
from fedchain.node.sections import MetricsSection
from fedchain.types import JobId, Kind, Reason

log = structlog.get_logger(__name__)

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
_ASK_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_JOB_STATUSES = ("proposed", "running", "completed", "failed", "declined")


class Metrics:
    """One node's registry.

    Args:
        exchange: its traffic; it is listened to from construction on.
        address: of the node's account.
    """

    def __init__(self, exchange: Exchange, *, address: str) -> None:
        self.registry = CollectorRegistry()
        self._exchange = exchange
        self._address = address
        self._lock = threading.Lock()
        self._attempts: dict[JobId, int] = {}
        self._uplinks = Counter(
            "fedchain_uplinks",
            "Uplinks judged in this node's jobs, by who sent them (this node or a peer), kind and verdict.",
            ("sender", "kind", "verdict"),
            registry=self.registry,
        )
        self._verdict_seconds = Histogram(
            "fedchain_verdict_seconds",
            "From sending an uplink, or a batch of them, to reading its verdict.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._wait_seconds = Histogram(
            "fedchain_wait_seconds",
            "How long waits took that are over, by what was waited for.",
            ("about",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._late_waits = Counter(
            "fedchain_late_waits",
            "Waits that passed a deadline (soft or hard), by who was waited for.",
            ("party", "deadline"),
            registry=self.registry,
        )
        self._fast_answers = Counter(
            "fedchain_fast_answers",
            "Answers that came faster than the work behind them can plausibly take, by who gave them.",
            ("party",),
            registry=self.registry,
        )
        self._rounds = Counter(
            "fedchain_rounds", "Rounds begun in this node's jobs, each attempt counted.", registry=self.registry
        )
        self._rollbacks = Counter("fedchain_rollbacks", "Rounds that were tried again.", registry=self.registry)
        self._missing = Counter(
            "fedchain_missed_deadlines",
            "Deadlines of the chain at which a party was named as missing in this node's jobs, by party (me or peer).",
            ("party",),
            registry=self.registry,
        )
        self._http_requests = Counter(
            "fedchain_http_requests",
            "Requests that the HTTP API has answered, by method, route and status; other and none for unknown routes.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._asks = _AskMetrics(self.registry)
        self.registry.register(_Readings(exchange))
        exchange.waits.listen(self._on_wait)
        exchange.directory.listen(self._on_event)

    def on_http_request(self, method: str, route: str, status: int) -> None:
        """Count a request that the HTTP API has answered; method and route are among known ones."""
        self._http_requests.labels(method, route, str(status)).inc()

    def on_asked(self, rows: int, seconds: float, outcome: str) -> None:
        """Count a request by id of this node."""
        self._asks.asked.labels(outcome).inc(rows)
        self._asks.ask_seconds.observe(seconds)

    def on_answered(self, rows: int, seconds: float, requester: str) -> None:
        """Count an answer of this node; whether its rows are there, shows nowhere."""
        self._asks.answered.labels(requester).inc(rows)
        self._asks.answer_seconds.observe(seconds)

    def on_bad_answer(self, party: str) -> None:
        """Count an answer that does not hold."""
        self._asks.bad.labels(party).inc()

    def _on_wait(self, wait: Wait, seconds: float, arrived: bool) -> None:
        self._wait_seconds.labels(wait.about).observe(seconds)
        if wait.about == "mining" and "UplinkLedger.submit" in wait.what and arrived:
            self._verdict_seconds.observe(seconds)
        for name in wait.who:
            if wait.is_fast:
                self._fast_answers.labels(name).inc()
            if wait.is_late:
                self._late_waits.labels(name, "soft").inc()
            if wait.is_overdue:
                self._late_waits.labels(name, "hard").inc()

    def _on_event(self, event: ChainEvent) -> None:
        """Events of everybody's jobs come by, in the subscriber's thread."""
        job_id = getattr(event, "job_id", None)
        if job_id is None or self._exchange.subscriber.inbox(job_id) is None:
            return
        if isinstance(event, UplinkJudged):
            kind = event.envelope.kind
            name = kind.name.lower() if isinstance(kind, Kind) else "unknown"  # strangers choose that number
            sender = "me" if event.sender == self._address else "peer"
            self._uplinks.labels(sender, name, Reason(event.reason).name.lower()).inc()
        elif isinstance(event, PartyMissing):
            self._missing.labels("me" if event.party == self._address else "peer").inc()
        elif isinstance(event, RoundBegan):
            self._rounds.inc()
            with self._lock:
                before = self._attempts.get(job_id, 0)
                self._attempts[job_id] = event.attempt
            if event.attempt > before:
                self._rollbacks.inc()


class _AskMetrics:
    """Of requests by id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.asked = Counter(
            "fedchain_asked_rows",
            "Rows that this node asked for by id, by outcome (scored, silent or failed).",
            ("outcome",),
            registry=registry,
        )
        self.ask_seconds = Histogram(
            "fedchain_ask_seconds",
            "From a request by id to its scores.",
            buckets=_ASK_SECONDS,
            registry=registry,
        )
        self.answered = Counter(
            "fedchain_answered_rows",
            "Rows for which this node answered asks, by who asked; known ones or not.",
            ("requester",),
            registry=registry,
        )
        self.answer_seconds = Histogram(
            "fedchain_answer_seconds",
            "From reading an ask to its answer.",
            buckets=_ASK_SECONDS,
            registry=registry,
        )
        self.bad = Counter(
            "fedchain_bad_answers",
            "Answers whose receipt, size or bits did not hold, by whose they are.",
            ("party",),
            registry=registry,
        )


class _Readings(Collector):
    """What is known at any moment, and is read when it is asked for; nothing here waits for the chain."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        one, subscriber = self._exchange, self._exchange.subscriber
        waits = GaugeMetricFamily("fedchain_waits", "Waits under way, by what is waited for.", labels=["about"])
        for about, number in Counts(wait.about for wait in one.waits.current()).items():
            waits.add_metric([about], number)
        yield waits
        sender = one.consortium.sender
        yield GaugeMetricFamily(
            "fedchain_outbox_transactions",
            "Transactions that were sent and are not settled.",
            value=0 if sender is None else sender.under_way,
        )
        payloads = CounterMetricFamily(
            "fedchain_payload_bytes",
            "Bytes of payloads: served to recipients, fetched from senders, delivered directly.",
            labels=["way"],
        )
        for way, tally in (
            ("served", one.server.served),
            ("fetched", one.payloads.fetched),
            ("delivered", one.payloads.delivered),
        ):
            payloads.add_metric([way], tally.value)
        yield payloads
        yield GaugeMetricFamily("fedchain_chain_height", "The last block read.", value=max(0, subscriber.height))
        yield GaugeMetricFamily(
            "fedchain_chain_lag_blocks",
            "Blocks between the chain's head, when it was last asked for, and the last block read.",
            value=max(0, subscriber.head - subscriber.height),
        )
        yield CounterMetricFamily(
            "fedchain_reorganisations",
            "How often the chain took back blocks.",
            value=subscriber.reorganisations,
        )
        operations = CounterMetricFamily(
            "fedchain_ciphertext_operations",
            "Values encrypted, ciphertexts added into sums, sums decrypted, by this process.",
            labels=["operation"],
        )
        for name, tally in (("encrypt", ENCRYPTED), ("add", ADDED), ("decrypt", DECRYPTED)):
            operations.add_metric([name], tally.value)
        yield operations
        jobs = GaugeMetricFamily("fedchain_jobs", "Jobs of this node, by how they stand here.", labels=["status"])
        found = Counts(record.status for record in one.state.jobs())
        for status in _JOB_STATUSES:
            jobs.add_metric([status], found[status])
        yield jobs


class MetricsServer:
    """Serves a registry from construction to `close`; `/metrics` over HTTP, prometheus_client's own server.

    Args:
        metrics: what to serve.
        section: port and host; the port is set.

    Attributes:
        port: where it listens.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, metrics: Metrics, section: MetricsSection) -> None:
        assert section.port is not None
        try:
            self._server, self._thread = start_http_server(section.port, section.host, metrics.registry)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"[metrics] {section.host}:{section.port}: cannot listen there ({error}); choose another port"
            ) from error
        self.port = int(self._server.server_address[1])
        log.info("metrics are served", url=f"http://{section.host}:{self.port}/metrics")

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)
