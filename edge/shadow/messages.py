"""What the daemon and a candidate's process say to each other: JSON in packets of bytes, never pickle."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from edge.config import InferenceConfig
from models.base import Frozen
from models.health import Health
from models.verdict import Verdict


class Setup(Frozen):
    """First of all, daemon to candidate: which version of which store, and how it shall run."""

    kind: Literal["setup"] = "setup"
    store: Path
    trust: Path | None
    digest: str
    device: str
    inference: InferenceConfig
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
    """A frame lies in the shared memory."""

    kind: Literal["asked"] = "asked"
    verdict: Verdict  # of the active model
    height_px: int
    width_px: int
    health: Health | None


class Said(Frozen):
    """What the candidate says of it. A packet follows: where its outcome is another one, its heatmap or boxes over the
    frame as JPEG, else nothing."""

    kind: Literal["said"] = "said"
    verdict: Verdict


Message = Setup | Ready | Failed | Asked | Said
_message: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def send(link: "Connection[Any, Any]", message: Message) -> None:
    """Raises OSError when the other end is gone."""
    link.send_bytes(message.model_dump_json().encode())


def receive(link: "Connection[Any, Any]") -> Message:
    """The next message. Raises EOFError or OSError when the other end is gone, ValueError when it is no message."""
    return _message.validate_json(link.recv_bytes())
