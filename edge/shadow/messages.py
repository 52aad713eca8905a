"""What the daemon and a candidate's process say to each other: JSON in packets of bytes, never pickle.

Packets are short, so that none is ever half there: pictures lie in the memory that both share, the frame in its first
slot. In its second lies what the active model found in it, and then what the candidate drew of both.
"""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from edge.cameras.ring import Ring
from edge.config import InferenceConfig
from models.base import Frozen
from models.health import Health
from models.manifest import Precision
from models.verdict import Verdict


class Setup(Frozen):
    """First of all, daemon to candidate: which version of which store, and how it shall run."""

    kind: Literal["setup"] = "setup"
    store: Path
    trust: Path | None
    digest: str
    state: Path  # where the box keeps what is qualified
    device: str
    precision: Literal["auto"] | Precision
    inference: InferenceConfig
    budget_s: float | None  # for one frame
    sizes: tuple[tuple[int, int], ...]  # (height, width) of the frames to come, as far as they are known
    epoch: str


class Ready(Frozen):
    """It is verified, compiled, warm, and right on its golden images."""

    kind: Literal["ready"] = "ready"
    expected_s: float  # that an inference takes


class Failed(Frozen):
    """It cannot judge. The last message of its process."""

    kind: Literal["failed"] = "failed"
    detail: str


class Asked(Frozen):
    """A frame lies there."""

    kind: Literal["asked"] = "asked"
    verdict: Verdict  # of the active model
    height_px: int
    width_px: int
    health: Health | None


class Said(Frozen):
    """What the candidate says of it."""

    kind: Literal["said"] = "said"
    verdict: Verdict


class Draw(Frozen):
    """The frame that was asked for last is to be kept: draw it. What the active model found in it lies there."""

    kind: Literal["draw"] = "draw"
    found_bytes: int


class Drawn(Frozen):
    """The pictures lie there, one behind the other; empty where there is nothing to show."""

    kind: Literal["drawn"] = "drawn"
    frame_bytes: int  # PNG
    active_bytes: int  # JPEG of what each of the two found, over the frame
    candidate_bytes: int


Message = Setup | Ready | Failed | Asked | Said | Draw | Drawn
SLOTS = 2
_message: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def put(ring: Ring, content: bytes) -> int:
    """Lays bytes into the second slot; how many."""
    _bytes_of(ring, len(content))[:] = np.frombuffer(content, np.uint8)
    return len(content)


def taken(ring: Ring, count: int) -> bytes:
    """A copy of what `put` laid there. Raises ValueError when there is no room for so many."""
    return _bytes_of(ring, count).tobytes()


def _bytes_of(ring: Ring, count: int) -> NDArray[np.uint8]:
    return ring.image(1, 1, count // 3 + 1).reshape(-1)[:count]


def send(link: "Connection[Any, Any]", message: Message) -> None:
    """Raises OSError when the other end is gone."""
    link.send_bytes(message.model_dump_json().encode())


def receive(link: "Connection[Any, Any]") -> Message:
    """The next message. Raises EOFError or OSError when the other end is gone, ValueError when it is no message."""
    return _message.validate_json(link.recv_bytes())
