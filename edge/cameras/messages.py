"""What a camera's process and the daemon say to each other: one packet of a socket pair per message.

Never pickle: the process decodes pictures that may be hostile, and what it says is checked like input.
"""

import json
import select
import socket
import struct
import threading
from dataclasses import astuple, fields
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge.camera_config import CameraConfig
from edge.cameras.frame import FaultReason
from models.errors import CameraError
from models.health import Health

_PACKET_BYTES = 65536
_TEXT = 2000


class _Message(BaseModel):
    """JSON. What every frame has is packed instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Setup(_Message):
    """First of all, daemon to camera. Not in the arguments of the process: a URL may hold a password."""

    kind: Literal["setup"] = "setup"
    config: CameraConfig
    skip: int = 0  # pictures of a finite camera that an earlier process has done
    frozen: str | None = None  # SHA-256 of the picture that the camera repeated before; it must give another


class Wake(_Message):
    """Daemon to camera: look at the counters, a slot is free or a picture is wanted."""

    kind: Literal["wake"] = "wake"


class Opened(_Message):
    """The camera is open."""

    kind: Literal["opened"] = "opened"
    size_px: tuple[int, int] | None  # (height, width) of the pictures to come, when it is known


class Picture(NamedTuple):
    """A slot is filled, or would have been but for `fault`."""

    slot: int
    captured_ns: int
    captured_at_ns: int
    ready_ns: int
    height_px: int = 0
    width_px: int = 0
    repeats: int = 0
    source: str | None = None
    fault: tuple[FaultReason, str] | None = None
    is_measured: bool = False  # a `Measured` follows


class Measured(NamedTuple):
    """The health of the picture before. It follows, so that the device need not wait for it."""

    health: Health


class Lost(_Message):
    """The camera failed. The last message of its process."""

    kind: Literal["lost"] = "lost"
    detail: str
    frozen: str | None = None  # as in `Setup`


class Ended(_Message):
    """The last picture of a finite camera was sent."""

    kind: Literal["ended"] = "ended"


_Rare = Annotated[Setup | Wake | Opened | Lost | Ended, Field(discriminator="kind")]
_rare: TypeAdapter[_Rare] = TypeAdapter(_Rare)
_texts: TypeAdapter[tuple[str | None, tuple[FaultReason, str] | None]] = TypeAdapter(
    tuple[str | None, tuple[FaultReason, str] | None]
)
Message = Setup | Wake | Opened | Picture | Measured | Lost | Ended
# Every frame has these two. Pydantic would take a tenth of a millisecond for each, on a core that was asleep.
_PICTURE, _MEASURED = struct.Struct("<cq3q2qq?"), struct.Struct(f"<c{len(fields(Health))}d")


def clip(text: str) -> str:
    """Text that fits into a packet."""
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}..."


class Link:
    """One end of the socket pair. One thread receives; any may send, wake and close."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._sending = end, threading.Lock()
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, message: Message) -> None:
        """Waits for room. Raises EOFError when the other end is gone."""
        try:
            self._end.sendall(_packed(message))
        except OSError as error:
            raise EOFError("the other end is gone") from error

    def wake(self) -> None:
        """Never waits and never fails: where there is no room, the other end has messages to wake it."""
        with self._sending:
            if self._end.fileno() >= 0:
                try:
                    self._end.send(b'{"kind":"wake"}', socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                except OSError:
                    return

    def receive(self, limit_s: float) -> Message | None:
        """The next message, None when none came in time. Raises EOFError at the end of the other side,
        CameraError when what came is no message."""
        if not self._poll.poll(limit_s * 1000):
            return None
        if not (packet := self._packet()):
            raise EOFError
        try:
            return _unpacked(packet)
        except (ValidationError, struct.error) as error:
            raise CameraError(f"its process sent {len(packet)} bytes that are no message of ours") from error

    def _packet(self) -> bytes:
        """Empty at the end. Linux tells of an end that had left something unread before it gives what waits."""
        for _ in range(2):
            try:
                return self._end.recv(_PACKET_BYTES)
            except ConnectionResetError:
                continue
            except OSError:  # closed by us
                break
        return b""

    def close(self) -> None:
        """The other side sees the end."""
        with self._sending:
            self._end.close()


def _packed(message: Message) -> bytes:
    if isinstance(message, Measured):
        return _MEASURED.pack(b"M", *astuple(message.health))
    if not isinstance(message, Picture):
        return message.model_dump_json().encode("utf-8", "replace")
    *numbers, source, fault, is_measured = message
    head = _PICTURE.pack(b"P", *numbers, is_measured)
    if source is None and fault is None:
        return head
    return head + json.dumps((source, fault), ensure_ascii=False).encode("utf-8", "replace")


def _unpacked(packet: bytes) -> Message:
    match packet[:1]:
        case b"M":
            return Measured(Health(*_MEASURED.unpack(packet)[1:]))
        case b"P":
            _, *numbers, is_measured = _PICTURE.unpack_from(packet)
            texts = packet[_PICTURE.size :]
            source, fault = _texts.validate_json(texts) if texts else (None, None)
            return Picture._make((*numbers, source, fault, is_measured))
        case _:
            return _rare.validate_json(packet)
