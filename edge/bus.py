"""Publishes verdicts over ZeroMQ. Opened on the main thread, then used by the `inspect` thread only.

A message is two parts: the camera's name (the topic) and the verdict as JSON, both UTF-8.
"""

import time
from collections.abc import Callable

import zmq

from models.errors import ConfigError, MekikiError
from models.verdict import Verdict

HIGH_WATER = 100_000  # messages waiting per subscriber, at the publisher and at `listen`: about 100 MB
_LINGER_S = 2.0  # on close, for what a subscriber has not read yet
_MAX_INCOMING_BYTES = 4096  # a subscription is a topic


class Bus:
    """The publishing end. It never waits for a subscriber once frames flow."""

    def __init__(self, address: str, high_water: int = HIGH_WATER) -> None:
        """Raises MekikiError when the port is taken, ConfigError when the address cannot be bound."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, high_water)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)  # an error when a queue is full, not silence
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INCOMING_BYTES)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            if error.errno == zmq.EADDRINUSE:
                raise MekikiError(
                    f"bus {address}: port already in use; stop what holds it (another mekiki-edge?) or set [bus] bind"
                ) from error
            raise ConfigError(f"bus {address}: {error.strerror}; correct [bus] bind") from error

    def wait_for_subscriber(self, timeout_s: float, stopping: Callable[[], bool]) -> bool:
        """Whether somebody subscribed within the time."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s and not stopping():
            if self._socket.poll(50) and self._socket.recv().startswith(b"\x01"):
                return True
        return False

    def publish(self, verdict: Verdict) -> bool:
        """Sends it to all subscribers. False when it did not fit into the queue of one of them."""
        self._read_subscriptions()
        parts = [verdict.camera.encode(), verdict.model_dump_json().encode()]
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Frees the address; waits up to 2 s until what was published has left."""
        self._context.destroy(linger=int(_LINGER_S * 1000))

    def _read_subscriptions(self) -> None:
        """Unread, they would pile up in the socket for as long as the daemon runs."""
        while self._socket.poll(0):
            self._socket.recv(zmq.NOBLOCK)
