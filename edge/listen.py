"""`mekiki-edge listen`: a subscriber that prints verdicts, one JSON object per line."""

from collections.abc import Callable

import zmq

from edge.bus import HIGH_WATER
from models.errors import ConfigError, MekikiError


def listen(address: str, count: int | None, timeout_s: float | None, say: Callable[[str], None]) -> None:
    """Prints `count` verdicts, or all that ever come.

    Raises MekikiError when none comes for `timeout_s`, ConfigError when the address is none.
    """
    context = zmq.Context()
    try:
        socket = _connected(context, address)
        seen = 0
        while count is None or seen < count:
            if not socket.poll(None if timeout_s is None else int(timeout_s * 1000)):
                of = "" if count is None else f" of {count}"
                raise MekikiError(
                    f"{address}: no verdict for {timeout_s:g} s, {seen}{of} came; is mekiki-edge running there?"
                )
            say(_verdict(socket.recv_multipart(), address))
            seen += 1
    finally:
        context.destroy(linger=0)


def _connected(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        raise ConfigError(f"{address}: {error.strerror}; give an address like tcp://127.0.0.1:5555") from error
    return socket


def _verdict(parts: list[bytes], address: str) -> str:
    if len(parts) != 2:
        raise MekikiError(f"{address}: a message of {len(parts)} parts, 2 were wanted; this is no mekiki-edge")
    try:
        return parts[1].decode()
    except UnicodeDecodeError as error:
        raise MekikiError(f"{address}: a message that is not text; this is no mekiki-edge") from error
