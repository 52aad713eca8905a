"""Memory that a camera's process and the daemon share: a page of counters, and slots for pictures.

An anonymous file (memfd), mapped by both sides: it is gone with the last process that maps it, however
that ends. Slots lie `SLOT_BYTES` apart, room for the largest picture there is, and a page of it takes
memory only once it was written to: cameras may change the size of their pictures without notice.
Any thread of either side; each field has one writer.
"""

import fcntl
import mmap
import os
from enum import IntEnum
from typing import Self

import numpy as np

from models.errors import CameraError
from models.prediction import Image

SIDE_PX = 16384
SLOT_BYTES = SIDE_PX * SIDE_PX * 3
_HEAD_BYTES = 16384
MAX_SLOTS = 1200
_STATES = 64  # index of the first slot's state; the fields before it fit with room to spare
_WANTS = _STATES + MAX_SLOTS  # index of the first moment at which a picture was asked for
_MOMENTS = 512  # of the last wants; of an older one that is still open the moment counts that replaced it, a later one
_FREE, _LENT = 0, 1


class Field(IntEnum):
    """The counters, int64 each: read and written whole, without a message."""

    BEAT_NS = 0  # the camera's process is at work; it hangs when this stays: monotonic, ns
    STARTED = 1  # pictures begun: one that kills the process is begun and not done
    DONE = 2  # pictures sent, or left out
    UNDECODED = 3  # of these, grabbed from a live camera and never decoded
    WAITING = 4  # 1 while it waits for a slot or for a picture to be wanted: wake it
    WANTED = 5  # pictures that were asked for, ever
    WANTED_FROM_NS = 6  # pictures grabbed before are not needed: monotonic, ns
    RUNNING = 7  # 1 once the daemon judges: a picture from before would be old by then


class Ring:
    """One side's view of the memory. It stays mapped as long as one of its pictures is in use."""

    def __init__(self, memory: int, slots: int) -> None:
        """Maps the file descriptor `memory`, which may be closed then."""
        self.slots = slots
        self._map = mmap.mmap(memory, _HEAD_BYTES + slots * SLOT_BYTES)
        self._head = np.frombuffer(self._map, np.int64, count=_HEAD_BYTES // 8)

    @classmethod
    def create(cls, slots: int) -> tuple[Self, int]:
        """New memory with all slots free, and its descriptor, which the caller closes."""
        if not 0 < slots <= MAX_SLOTS:
            raise CameraError(f"{slots} slots for pictures, wanted 1 to {MAX_SLOTS}; set a smaller `queue`")
        memory = os.memfd_create("mekiki-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(memory, _HEAD_BYTES + slots * SLOT_BYTES)
            # Were it cut short by a broken camera process, reading it would kill the daemon (SIGBUS).
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            return cls(memory, slots), memory
        except BaseException:
            os.close(memory)
            raise

    @classmethod
    def received(cls, memory: int) -> Self:
        """Memory that the other side made."""
        return cls(memory, (os.fstat(memory).st_size - _HEAD_BYTES) // SLOT_BYTES)

    def __getitem__(self, field: Field) -> int:
        return int(self._head[field])

    def __setitem__(self, field: Field, value: int) -> None:
        self._head[field] = value

    def want(self, at_ns: int) -> None:
        """The daemon asks for one more picture."""
        self._head[_WANTS + self[Field.WANTED] % _MOMENTS] = at_ns  # first: who sees the want finds its moment
        self[Field.WANTED] += 1

    def wanted_at_ns(self, want: int) -> int:
        """When the picture was asked for that is the `want`-th from 0."""
        return int(self._head[_WANTS + want % _MOMENTS])

    def image(self, slot: int, height_px: int, width_px: int) -> Image:
        """The pixels of a slot as uint8 (H, W, 3): no copy, contiguous, and alive as long as anybody holds it.

        Raises ValueError when there is no such slot, or no room for such a picture.
        """
        if not 0 <= slot < self.slots or not is_size(height_px, width_px):
            raise ValueError(f"slot {slot} of {self.slots} with {width_px}x{height_px} px")
        flat = np.frombuffer(
            self._map, np.uint8, count=height_px * width_px * 3, offset=_HEAD_BYTES + slot * SLOT_BYTES
        )
        return flat.reshape(height_px, width_px, 3)

    def is_free(self, slot: int) -> bool:
        """Whether the camera's process may fill it."""
        return bool(self._head[_STATES + slot] == _FREE)

    def lend(self, slot: int) -> None:
        """The camera's process gives a filled slot to the daemon."""
        self._head[_STATES + slot] = _LENT

    def give_back(self, slot: int) -> None:
        """The daemon gives it back."""
        self._head[_STATES + slot] = _FREE

    @property
    def lent(self) -> int:
        """How many slots the daemon holds."""
        return int(np.count_nonzero(self._head[_STATES : _STATES + self.slots]))


def is_size(height_px: int, width_px: int) -> bool:
    """Whether a picture of this size can be."""
    return height_px > 0 and width_px > 0 and height_px * width_px * 3 <= SLOT_BYTES


def same_picture(one: Image, other: Image) -> bool:
    """Whether both are equal to the last bit. Different ones mostly differ in the first piece, which is quick."""
    if one.shape != other.shape:
        return False
    a, b = one.reshape(-1), other.reshape(-1)
    piece = 1 << 16
    return all(bool((a[i : i + piece] == b[i : i + piece]).all()) for i in range(0, a.size, piece))
