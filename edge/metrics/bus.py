"""What is counted of the way out: verdicts to the bus, heartbeats, replays, messages that are none of ours."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

_QUICK_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)
SocketName = Literal["bus", "replay", "trigger", "pictures"]


class BusMetrics:
    """A part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._published = Histogram(
            "mekiki_publish_seconds", "What a verdict waits for after it is made", ("step",), buckets=_QUICK_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._heartbeats = Counter("mekiki_heartbeats_total", "Heartbeats sent", registry=registry)
        self._replayed = Counter("mekiki_replayed_verdicts_total", "Verdicts sent again on request", registry=registry)
        self._bad_messages = Counter(
            "mekiki_bad_messages_total", "Messages that were refused", ("socket",), registry=registry
        )
        for name in get_args(SocketName):
            self._bad_messages.labels(name)

    def published(self, journal_s: float, send_s: float) -> None:
        """How long one verdict took to the disk and to the socket."""
        self._published.labels("journal").observe(journal_s)
        self._published.labels("send").observe(send_s)

    def heartbeat(self) -> None:
        """One was sent."""
        self._heartbeats.inc()

    def replayed(self, count: int) -> None:
        """Verdicts sent again."""
        self._replayed.inc(count)

    def bad_message(self, socket: SocketName) -> None:
        """A message that is none of ours."""
        self._bad_messages.labels(socket).inc()
