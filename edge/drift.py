"""Drift on the line: the last parts of each camera against the good images of the model in force.

Told by the `publish` thread, after a verdict is out. Bounded: of each measure the bins of the last parts.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.config import DriftConfig
from edge.metrics import Metrics
from edge.model import Model
from edge.parts import Judged
from models.bundle import Bundle
from models.drift import BINS, Usual, excess
from models.health import Health


@dataclass(slots=True)
class _Window:
    """The bins of the last values of one measure, and how many are in each."""

    bins: deque[int]
    counts: list[int]

    @classmethod
    def of(cls, size: int, n_bins: int = BINS) -> "_Window":
        return cls(deque(maxlen=size), [0] * n_bins)

    def add(self, number: int) -> None:
        if len(self.bins) == self.bins.maxlen:
            self.counts[self.bins[0]] -= 1
        self.bins.append(number)
        self.counts[number] += 1


@dataclass(slots=True)
class _Watch:
    """One camera under one model."""

    digest: str
    usual: dict[str, Usual]
    false_rejects: float  # the largest share that is expected
    size: int
    windows: dict[str, _Window] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle, size: int) -> "_Watch":
        manifest = bundle.manifest
        usual = dict(manifest.health.usual) if manifest.health is not None else {}
        if manifest.threshold.usual is not None:
            usual["score"] = manifest.threshold.usual
        return cls(bundle.digest, usual, manifest.threshold.false_reject_upper_95, size)

    def add(self, measured: Mapping[str, float], *, is_ng: bool) -> None:
        for name, usual in self.usual.items():
            if name in measured:
                self._window(name).add(usual.bin_of(measured[name]))
        self._window("ng", 2).add(is_ng)

    def drifts(self, least: int) -> dict[str, float]:
        """Of each measure that enough parts have."""
        enough = {name: window for name, window in self.windows.items() if len(window.bins) >= least}
        found = {name: self.usual[name].drift(window.counts) for name, window in enough.items() if name != "ng"}
        if "ng" in enough and self.false_rejects > 0:
            found["ng"] = excess(enough["ng"].counts[1], len(enough["ng"].bins), self.false_rejects)
        return found

    def _window(self, name: str, n_bins: int = BINS) -> _Window:
        if name not in self.windows:
            self.windows[name] = _Window.of(self.size, n_bins)
        return self.windows[name]


class Drift:
    """Watches every camera that has a model."""

    def __init__(self, models: Mapping[str, Model], config: DriftConfig, metrics: Metrics) -> None:
        """`models` are those in force, by camera; it is looked at with every part."""
        self._models, self._config, self._metrics = models, config, metrics
        self._watches: dict[str, _Watch] = {}

    def saw(self, judged: Judged) -> None:
        """One more part. What was not judged says nothing of parts, only of its picture."""
        verdict, bundle = judged.verdict, self._models[judged.verdict.camera].bundle
        if verdict.bundle != bundle.digest:  # the last parts of a model that has gone
            return
        watch = self._watches.get(verdict.camera)
        if watch is None or watch.digest != bundle.digest:
            watch = self._watches[verdict.camera] = _Watch.of(bundle, self._config.parts)
            self._metrics.no_drift(verdict.camera, [*watch.usual, "ng"])
        checkup = judged.grab.checkup
        measured = _plain(checkup.health if checkup is not None else None)
        if verdict.score is not None:
            measured["score"] = verdict.score
        if measured:
            watch.add(measured, is_ng=verdict.outcome == "ng")
        self._metrics.drift(verdict.camera, watch.drifts(self._config.least))


def _plain(health: Health | None) -> dict[str, float]:
    measured = {} if health is None else dataclasses.asdict(health)
    return {name: value for name, value in measured.items() if math.isfinite(value)}
