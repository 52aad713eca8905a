"""What a camera's process says of a picture becomes a grab: its memory, its slot, its fault. On a capture thread."""

import threading

from edge.camera_config import CameraConfig
from edge.cameras.frame import Checkup, Fault, Grab
from edge.cameras.messages import Picture
from edge.cameras.process import CameraProcess
from edge.cameras.ring import Field
from models.errors import CameraError
from models.prediction import Image


def grab_of(process: CameraProcess, said: Picture, config: CameraConfig, *, live: bool) -> Grab:
    """Raises CameraError when the process says what cannot be. A fault of a live camera holds no slot."""
    if not 0 <= said.slot < process.ring.slots:
        raise CameraError(f"camera {config.name}: its process sent slot {said.slot} of {process.ring.slots}")
    fault = Fault(*said.fault) if said.fault else _stale(config, said.repeats)
    image = _image(process, said, config) if fault is None else None
    release = _Lease(process, said.slot)
    if live and fault is not None:
        release()
    return Grab(
        captured_ns=said.captured_ns,
        captured_at_ns=said.captured_at_ns,
        ready_ns=said.ready_ns,
        image=image,
        source=said.source,
        fault=fault,
        checkup=Checkup() if said.is_measured and fault is None else None,
        repeats=said.repeats,
        release=release,
    )


class _Lease:
    """Gives one slot back, once, though it be called twice or after the process was replaced."""

    __slots__ = ("_given", "_process", "_slot")

    def __init__(self, process: CameraProcess, slot: int) -> None:
        self._process, self._slot, self._given = process, slot, threading.Lock()

    def __call__(self) -> None:
        if self._given.acquire(blocking=False):
            self._process.ring.give_back(self._slot)
            if self._process.ring[Field.WAITING]:
                self._process.wake()


def _image(process: CameraProcess, said: Picture, config: CameraConfig) -> Image:
    try:
        return process.ring.image(said.slot, said.height_px, said.width_px)
    except ValueError as error:
        raise CameraError(f"camera {config.name}: its process sent {error}, which cannot be") from error


def _stale(config: CameraConfig, repeats: int) -> Fault | None:
    """A picture that was asked for is a part: it must not repeat even once."""
    most = config.max_repeats
    if most and repeats >= (1 if config.trigger == "external" else most):
        return Fault(
            "stale_frame",
            f"camera {config.name}: the same picture {repeats + 1} times in a row; "
            "check the camera, or set `max_repeats = 0` where its pictures really repeat to the last bit",
        )
    return None
