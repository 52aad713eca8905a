"""A camera whose pictures themselves say that a part is there. Runs in the camera's own process."""

import time

from edge.cameras.presence import Gate
from edge.cameras.reader import Reader, Taken
from models.errors import CameraError


def guard(reader: Reader) -> None:
    """Sends one picture per part that passes, until the end of a finite camera.

    Raises CameraError when a live one is lost, or gives nothing that can be decoded for `read_timeout_s`.
    """
    gate, kept = Gate(), dict[int, Taken]()
    good_ns = time.monotonic_ns()
    while True:
        slot = reader.slot() if reader.live else reader.wait_for_slot()
        stamp = reader.grab()
        if stamp is None:
            break
        if slot is None:
            reader.leave()
            continue
        taken = reader.decode(stamp, slot)
        if taken.image is None:
            reader.leave()
            if time.monotonic_ns() - good_ns > reader.config.read_timeout_s * 1e9:
                raise CameraError(f"camera {reader.config.name}: no picture can be decoded; last: {taken.fault}")
            continue
        good_ns = time.monotonic_ns()
        step = gate.see(taken.image, stamp.captured_ns)
        kept |= dict.fromkeys(step.keep, taken)
        _deliver(reader, kept, step.deliver)
        kept = {number: frame for number, frame in kept.items() if number in gate.open_parts}
        reader.hold(frame.slot for frame in kept.values())
        reader.done()
    _deliver(reader, kept, tuple(kept))


def _deliver(reader: Reader, kept: dict[int, Taken], numbers: tuple[int, ...]) -> None:
    """Parts side by side may share their best frame: each gets its own picture."""
    for number in numbers:
        frame = kept.pop(number, None)
        if frame is not None:
            reader.send(reader.copied(frame) if frame in kept.values() else frame, is_all=False)
