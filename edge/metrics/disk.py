"""What is counted of the disk: the journal, the evidence, and how much room there is."""

import math
import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge


class DiskMetrics:
    """A part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._journal_ok = Gauge("mekiki_journal_ok", "1 while verdicts reach the disk", registry=registry)
        self._journal_pending = Gauge(
            "mekiki_journal_pending", "Verdicts in memory that wait for the disk", registry=registry
        )
        self._journal_errors = Counter("mekiki_journal_errors_total", "Failed writes of the journal", registry=registry)
        self._journal_damaged = Counter(
            "mekiki_journal_damaged_total", "Damaged journals set aside at a start", registry=registry
        )
        self._kept = Counter("mekiki_evidence_kept_total", "Frames kept for review", ("kind",), registry=registry)
        self._evidence_lost = Counter(
            "mekiki_evidence_lost_total", "Frames that should have been kept and were not", registry=registry
        )
        self._evidence_bytes = Gauge("mekiki_evidence_bytes", "Size of what is kept", registry=registry)
        self._disk_free = Gauge("mekiki_disk_free_bytes", "Room left where the state lies", registry=registry)
        self._disk_size = Gauge("mekiki_disk_size_bytes", "Of the disk where the state lies", registry=registry)

    def journal(self, *, ok: bool, pending: int) -> None:
        """After a write of the journal."""
        self._journal_ok.set(ok)
        self._journal_pending.set(pending)
        if not ok:
            self._journal_errors.inc()

    def journal_damaged(self) -> None:
        """A journal that could not be read was set aside."""
        self._journal_damaged.inc()

    def evidence_kept(self, kind: str) -> None:
        """A frame was kept."""
        self._kept.labels(kind).inc()

    def evidence_size(self, total_bytes: int) -> None:
        """All that is kept."""
        self._evidence_bytes.set(total_bytes)

    def evidence_lost(self) -> None:
        """A frame that should have been kept was not: disk full, or more than the writer can take."""
        self._evidence_lost.inc()

    def disk(self, folder: Path) -> None:
        """Says from now on how much room there is; asked anew at each scrape."""
        self._disk_free.set_function(lambda: _usage(folder)[0])
        self._disk_size.set_function(lambda: _usage(folder)[1])


def _usage(folder: Path) -> tuple[float, float]:
    """Bytes free and in all; NaN where the disk does not answer, for a scrape must not fail by it."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return math.nan, math.nan
    return usage.free, usage.total
