"""A model in force: a verified bundle, compiled, warm, and right on its golden images."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge.config import InferenceConfig
from models.bundle import Bundle
from models.cache import Cache
from models.golden import check_golden
from models.runner import Runner

_RECENT = 64  # inferences that the expectation rests on
_FADE = 0.9
_MEASURED = 3  # where no golden image has that size
Size = tuple[int, int]  # (height, width) of a frame in pixels


@dataclass(eq=False)
class Pace:
    """How long an inference takes, from the last ones. Touched by one thread at a time."""

    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    expected_s: float = 0.0

    def took(self, infer_s: float) -> None:
        """One more. Nine of ten are quicker than what is expected next."""
        self._recent.append(infer_s)
        ordered = sorted(self._recent)
        self.expected_s = ordered[int(0.9 * (len(ordered) - 1))]

    def turned_away(self) -> None:
        """A part was not tried because of this alone. It fades: a box that was slow once must try again."""
        self._recent.clear()
        self.expected_s *= _FADE


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """One version of one model. Frames in flight hold it; the last one to let go frees it."""

    bundle: Bundle
    runners: tuple[Runner, ...]  # one per lane
    pace: Pace

    @property
    def name(self) -> str:
        """For logs."""
        runner = self.runners[0]
        return f"bundle {self.bundle.digest[:12]} on {runner.device} at {runner.precision}"


@dataclass(frozen=True, eq=False, slots=True)
class Checked:
    """A bundle that runs on this device and judges its golden images as it must."""

    bundle: Bundle
    runner: Runner
    took_s: dict[Size, list[float]]  # by each golden image, after its graph was compiled


def check(bundle: Bundle, device: str, config: InferenceConfig, cache: Cache | None = None) -> Checked:
    """Compiles it for its golden images, and asks them. Raises ModelError."""
    runner = Runner.of(bundle, device, config.hint, cache)
    took_s = check_golden(bundle, runner).took_s
    return Checked(bundle, runner, {size: times_s[1:] for size, times_s in took_s.items()})


def warm(checked: Checked, config: InferenceConfig, sizes: Iterable[Size], lanes: int | None = None) -> Model:
    """Warms every lane for the frame sizes to come. Raises ModelError.

    Without `lanes` there are as many as the settings say, else as the device wants.
    """
    runner, spec = checked.runner, checked.bundle.manifest.preprocess
    wanted = sorted(set(sizes)) or [(spec.height_px, spec.width_px)]
    lanes = lanes or config.requests or runner.wanted_requests(*wanted[0])
    model = Model(checked.bundle, (runner, *(runner.twin() for _ in range(lanes - 1))), Pace())
    for lane in model.runners:
        for size in wanted:
            if lane is not runner or size not in checked.took_s:  # golden images are of native size: they warmed it
                lane.warm_up(*size)
    _measure(model, wanted[-1], checked.took_s.get(wanted[-1], []))
    return model


def _measure(model: Model, size: Size, took_s: Sequence[float]) -> None:
    """The first part needs an expectation too."""
    for one_s in took_s or [_took_s(model, size) for _ in range(_MEASURED)]:
        model.pace.took(one_s)


def _took_s(model: Model, size: Size) -> float:
    started_s = time.perf_counter()
    model.runners[0].warm_up(*size)
    return time.perf_counter() - started_s
