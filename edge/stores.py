"""The stores that cameras are judged by: who follows each, who watches a version on probation, and who lets a candidate
look on. Made on the main thread."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge.config import Settings
from edge.engine import Engine
from edge.hold import Hold
from edge.model import Model, Size
from edge.outside import Outside
from edge.probation import Trial
from edge.qualified import budget_of
from edge.shadow.messages import Setup
from edge.shadow.records import Records, records_in
from edge.shadow.thread import Shadow
from edge.startup import check_model, model_path, warm_model
from edge.swap import Swap
from models.bundle import Bundle
from models.gate import Gate
from models.store import Store


@dataclass(eq=False, slots=True)
class Stores:
    """All of a box, once there is an engine to put their versions in force."""

    settings: Settings
    outside: Outside
    engine: Engine
    sizes: Mapping[str, Size | None]  # of the frames to come, by camera
    stop: threading.Event
    hold: Hold
    swap: Swap | None = field(init=False, default=None)  # where there is a store
    trials: list[Trial] = field(init=False, default_factory=list)
    shadows: list[Shadow] = field(init=False, default_factory=list)  # one per store
    shadow_of: dict[str, Shadow] = field(init=False, default_factory=dict)  # by camera

    def __post_init__(self) -> None:
        for root, cameras in _cameras_of_stores(self.settings).items():
            self.swap = self.swap or Swap(self.engine, self.outside.metrics, self.stop, self.hold)
            self._follow(self.swap, root, cameras)
            self.shadows.append(shadow := self._shadow(root, cameras))
            self.shadow_of |= dict.fromkeys(cameras, shadow)

    def _follow(self, swap: Swap, root: Path, cameras: list[str]) -> None:
        settings, store = self.settings, self._store(root)
        trial = Trial(store, cameras, settings.state / "journal.db", settings.probation, self.outside.metrics)
        self.trials.append(trial)
        digest = self.engine.models[cameras[0]].bundle.digest
        swap.follow(store, cameras, digest, partial(self._model, root), trial)

    def _model(self, root: Path, bundle: Bundle) -> Model:
        """Of a version that comes into force while we run. Thread `swap`."""
        checked = check_model(self.settings, root, bundle)
        return warm_model(self.settings, root, self.sizes, checked, len(self.engine.lanes))

    def _shadow(self, root: Path, cameras: list[str]) -> Shadow:
        settings, outside = self.settings, self.outside
        setup = partial(
            Setup,
            store=root,
            trust=settings.trust,
            state=settings.state,
            device=settings.device,
            precision=settings.precision,
            inference=settings.inference,
            budget_s=budget_of(settings, cameras),
            sizes=tuple({size for name in cameras if (size := self.sizes[name]) is not None}),
            epoch=outside.epoch,
        )
        return Shadow(
            self._store(root),
            lambda digest: setup(digest=digest),
            self.engine,
            Records(records_in(settings.state)),
            outside.evidence,
            outside.metrics,
            self.stop,
        )

    def _store(self, root: Path) -> Store:
        return Store(root, Gate(self.settings.trust))


def _cameras_of_stores(settings: Settings) -> dict[Path, list[str]]:
    """Every store with the cameras that are judged by it."""
    places = [(camera.name, *model_path(settings, camera)) for camera in settings.camera]
    roots = sorted({path for _, path, is_store in places if is_store})
    return {root: [name for name, path, _ in places if path == root] for root in roots}
