"""Publishes over ZeroMQ. Opened on the main thread, then used by the `publish` thread only.

A message is two parts, both UTF-8: the topic and a JSON object.

    verdict/NAME   one verdict of the camera NAME
    heartbeat      that the box is alive, and which verdicts it has published

A subscriber that does not read loses messages of its own queue, and nobody else does; it sees the hole
in `seq`, or in the next heartbeat, and asks the replay socket. Who comes late gets a heartbeat and the
last verdict of each camera at once, so any subscriber may see those twice.
"""

import time
from collections.abc import Callable

import zmq

from edge.config import BusConfig
from edge.sockets import LINGER_S, bind

HEARTBEAT = b"heartbeat"
VERDICT = b"verdict/"
HIGH_WATER = 10_000  # messages that wait for one subscriber: about 10 MB
_AGAIN_S = 0.1  # newcomers of this time are served together
_MAX_READ = 1000  # subscriptions at a time: who floods them must not hold the line


class Bus:
    """The publishing end. It never waits for a subscriber once frames flow."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", config: BusConfig) -> None:
        """Raises MekikiError when the address is taken, ConfigError when it cannot be bound."""
        self._socket = bind(
            context, zmq.XPUB, config.bind, config, "bind",
            sndhwm=HIGH_WATER, xpub_verbose=1,  # verbose: also who subscribes to what others have already
        )  # fmt: skip
        self._last: dict[bytes, bytes] = {}  # topic -> the last verdict
        self._wanted: set[bytes] = set()  # subscriptions that came and were not served yet
        self._served_s = 0.0

    def wait_for_subscriber(self, timeout_s: float, stopping: Callable[[], bool]) -> bool:
        """Whether somebody subscribed to verdicts within the time."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s and not stopping():
            if self._socket.poll(50) and any(_overlap(topic, VERDICT) for topic in self._subscriptions()):
                return True
        return False

    def publish(self, camera: str, verdict: bytes) -> None:
        """Sends a verdict's JSON to all who want it."""
        topic = VERDICT + camera.encode()
        self._last[topic] = verdict
        self._send(topic, verdict)

    def beat(self, heartbeat: bytes) -> None:
        """Sends a heartbeat's JSON."""
        self._send(HEARTBEAT, heartbeat)

    def serve_newcomers(self, beat: Callable[[], bytes]) -> None:
        """Sends who subscribed since the last call a heartbeat, then the last verdict of each camera that they want.

        The heartbeat is first: it tells which of those verdicts are news.
        """
        self._subscriptions()
        if not self._wanted or time.monotonic() < self._served_s + _AGAIN_S:
            return
        wanted, self._wanted = self._wanted, set()
        self._send(HEARTBEAT, beat())
        for topic, verdict in self._last.items():
            if any(topic.startswith(prefix) for prefix in wanted):
                self._send(topic, verdict)
        self._served_s = time.monotonic()

    def close(self) -> None:
        """Frees the address. What was published has 2 s to leave, which the end of the context waits for."""
        self._socket.close(linger=int(LINGER_S * 1000))

    def _send(self, topic: bytes, text: bytes) -> None:
        self._socket.send_multipart([topic, text], zmq.NOBLOCK)  # never refused: a full queue drops

    def _subscriptions(self) -> set[bytes]:
        """Those that came. Unread, they would pile up in the socket for as long as the daemon runs."""
        for _ in range(_MAX_READ):
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            topic = message[1:]
            if message[:1] == b"\x01" and (_overlap(topic, VERDICT) or _overlap(topic, HEARTBEAT)):
                self._wanted.add(topic)
        return self._wanted


def _overlap(topic: bytes, other: bytes) -> bool:
    return topic.startswith(other) or other.startswith(topic)
