"""Who waits for whom: the ways of reading a camera whose parts are not told from the pictures.

Run in the camera's own process; all end at the end of a finite camera, raise CameraError when a live
one is lost, and EOFError when the daemon is gone.
"""

import time

from edge.cameras.reader import Reader, Stamp
from edge.cameras.ring import Field

_BUFFERED = 0.25  # of a period: a grab that took less gave a picture that had waited in a buffer
_PATIENCE = 5  # periods: a picture that comes later is no old one, for no buffer is as long


def play(reader: Reader) -> None:
    """A finite camera waits for us: every picture is sent, as fast as they are judged or at its pace."""
    period_s = 1 / reader.config.fps if reader.config.fps else 0.0
    due_s = time.monotonic()
    while not reader.ended:
        slot = reader.wait_for_slot()
        while (wait_s := due_s - time.monotonic()) > 0:
            reader.idle(wait_s)
        due_s = max(due_s + period_s, time.monotonic())
        if not _send_next(reader, slot):
            return


def hand_out(reader: Reader) -> None:
    """A finite camera, one picture whenever one is asked for."""
    answered = 0
    while not reader.ended:
        while reader.ring[Field.WANTED] <= answered:
            reader.ring[Field.WAITING] = 1
            reader.idle()
        if not _send_next(reader, reader.wait_for_slot()):
            return
        answered += 1


def watch(reader: Reader) -> None:
    """A live camera whose every picture is a part: those that come too early or find no slot are not decoded."""
    while (stamp := reader.grab()) is not None:
        slot = reader.slot()
        lead_ns = reader.period_ns + reader.decode_ns
        if slot is None or stamp.captured_ns < reader.ring[Field.WANTED_FROM_NS] - lead_ns:
            reader.leave()
            continue
        reader.send(reader.decode(stamp, slot))


def answer(reader: Reader) -> None:
    """A live camera that is asked for pictures: each is one that was captured after it was asked for."""
    answered = 0
    asked_ns = 0  # since when the oldest open question is known here
    while True:
        wanted = reader.ring[Field.WANTED]  # read before the grab: what it gives came after all of these
        asked_ns = (asked_ns or time.monotonic_ns()) if wanted > answered else 0
        stamp = reader.grab()
        if stamp is None:
            return
        slot = reader.slot()
        if wanted == answered or slot is None or _is_old(reader, stamp, answered, asked_ns):
            reader.leave()
            continue
        reader.send(reader.decode(stamp, slot))
        answered, asked_ns = answered + 1, 0


def _is_old(reader: Reader, stamp: Stamp, want: int, asked_ns: int) -> bool:
    """Whether the picture lay in a buffer of the driver or the network when the oldest open want came."""
    if stamp.captured_ns - asked_ns > _PATIENCE * reader.period_ns:
        return False
    return stamp.captured_ns < reader.ring.wanted_at_ns(want) or stamp.waited_ns < _BUFFERED * reader.period_ns


def _send_next(reader: Reader, slot: int) -> bool:
    stamp = reader.grab()
    if stamp is None:
        return False
    reader.send(reader.decode(stamp, slot))
    return True
