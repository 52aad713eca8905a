"""One way to bind and to connect a ZeroMQ socket, and who may connect to ours.

Sockets are made on the main thread; each is then used by one thread only. The `zap` thread lets
clients in by their keys; it runs only where keys are set.
"""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import zmq

from edge.config import BusConfig
from edge.keys import ClientKeys, allowed_clients, server_pair
from models.errors import ConfigError, MekikiError

LINGER_S = 2.0  # on close, for what a peer has not read yet
_MAX_INCOMING_BYTES = 4096  # whatever a peer tells a box is small: a topic, a request, a part id
_HANDSHAKE_MS = 5000
_PING_MS, _GONE_MS = 2000, 8000  # a peer whose cable was pulled is dropped, and connects again when it is back
_ZAP = "inproc://zeromq.zap.01"  # where libzmq asks, RFC 27
_STOP_S = 2.0


@contextlib.contextmanager
def open_context(config: BusConfig) -> "Iterator[zmq.Context[zmq.Socket[bytes]]]":
    """The one context of a daemon, for all its sockets. At the end it waits until what was sent has left, 2 s at most.

    Raises ConfigError when the keys are missing or open to others.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    guard = None
    try:
        if config.keys is not None:
            server_pair(config.keys)
            guard = _Guard(context, config.keys)
        yield context
    finally:
        if guard is not None:
            guard.close()
        context.destroy(linger=0)  # those that their owners closed keep the time that they were given


def bind(
    context: "zmq.Context[zmq.Socket[bytes]]",
    kind: int,
    address: str,
    config: BusConfig,
    setting: str,
    **options: int,
) -> "zmq.Socket[bytes]":
    """A bound socket. `setting` is the name in [bus] that errors tell to change; `options` are ZeroMQ's, `sndhwm=8`.

    What is larger than a request, or no ZeroMQ at all, costs its sender the connection and nobody else
    anything. Raises MekikiError when the address is taken or not there, ConfigError when it cannot be bound.
    """
    made = context.socket(kind)
    try:
        made.setsockopt(zmq.MAXMSGSIZE, _MAX_INCOMING_BYTES)
        made.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        _keep_alive(made, address)
        for name, value in options.items():
            made.setsockopt(getattr(zmq, name.upper()), value)
        if config.keys is not None:
            _serve_curve(made, config.keys)
        _bind(made, address, config, f"{_shown(setting)} {address}", setting)
    except BaseException:
        made.close(linger=0)
        raise
    return made


def connect(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, address: str, keys: ClientKeys | None, **options: int
) -> "zmq.Socket[bytes]":
    """A socket that connects, and connects again whenever its peer is back. Raises ConfigError on a bad address."""
    made = context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.RECONNECT_IVL, 50)
    made.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    for name, value in options.items():
        made.setsockopt(getattr(zmq, name.upper()), value)
    try:
        _keep_alive(made, address)
        if keys is not None:
            made.setsockopt(zmq.CURVE_SERVERKEY, keys.server)
            made.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
            made.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
        made.connect(address)
    except zmq.ZMQError as error:
        made.close()
        raise ConfigError(f"{address}: {error.strerror}; give an address like tcp://127.0.0.1:5555") from error
    return made


def _keep_alive(made: "zmq.Socket[bytes]", address: str) -> None:
    made.setsockopt(zmq.HEARTBEAT_IVL, _PING_MS)
    made.setsockopt(zmq.HEARTBEAT_TIMEOUT, _GONE_MS)
    if address.startswith("tcp://["):
        made.setsockopt(zmq.IPV6, 1)


def _serve_curve(made: "zmq.Socket[bytes]", keys: Path) -> None:
    pair = server_pair(keys)
    made.setsockopt(zmq.CURVE_SERVER, 1)
    made.setsockopt(zmq.CURVE_PUBLICKEY, pair.public)
    made.setsockopt(zmq.CURVE_SECRETKEY, pair.secret)


def _bind(made: "zmq.Socket[bytes]", address: str, config: BusConfig, where: str, setting: str) -> None:
    ipc = address.removeprefix("ipc://") if address.startswith("ipc://") else None
    try:
        if ipc is None:
            made.bind(address.replace("tcp://localhost:", "tcp://127.0.0.1:", 1))  # names are not resolved by a bind
        else:
            _bind_file(made, Path(ipc), int(config.ipc_mode, 8), where, setting)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise MekikiError(f"{where}: {_taken('port', setting)}") from error
        if error.errno == zmq.EADDRNOTAVAIL:  # at boot the network may still be on its way: tried again
            raise MekikiError(
                f"{where}: no address of this box, or not yet; see its network or [bus] {setting}"
            ) from error
        raise ConfigError(f"{where}: {error.strerror}; correct [bus] {setting}") from error


def _bind_file(made: "zmq.Socket[bytes]", path: Path, mode: int, where: str, setting: str) -> None:
    if str(path).startswith(("@", "*")):
        raise ConfigError(f"{where}: a file's path was wanted, which has an owner and a mode; correct [bus] {setting}")
    if _answers(path, where, setting):  # ZeroMQ would take it over without a word
        raise MekikiError(f"{where}: {_taken('socket file', setting)}")
    before = os.umask(0o177)  # closed until it has its mode; other files made meanwhile are closed too, not open
    try:
        made.bind(f"ipc://{path}")
    finally:
        os.umask(before)
    path.chmod(mode)


def _answers(path: Path, where: str, setting: str) -> bool:
    """Whether a process listens there. A dead socket file is none: the bind replaces it."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{where}: a file that is no socket lies there; move it or correct [bus] {setting}")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except TimeoutError:  # its queue is full: somebody has it
        return True
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror or error}; correct [bus] {setting}") from error
    return True


def _taken(what: str, setting: str) -> str:
    return f"{what} already in use; stop what holds it (another mekiki-edge?) or set [bus] {setting}"


def _shown(setting: str) -> str:
    return "bus" if setting == "bind" else setting


class _Guard:
    """Answers libzmq whether a client's key lies in the folder. It looks each time: no restart for a new client."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: Path) -> None:
        self._keys, self._over = keys, threading.Event()
        self._socket = context.socket(zmq.REP)
        self._socket.bind(_ZAP)
        self._thread = threading.Thread(target=self._run, name="zap", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nobody new is let in from now on."""
        self._over.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._over.is_set():
            if self._socket.poll(100):
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        self._socket.close(linger=0)

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        """A ZAP reply: version, request id, status, text, user, metadata."""
        from zmq.utils import z85

        mechanism, key = frames[5], frames[6] if len(frames) > 6 else b""
        known = mechanism == b"CURVE" and len(key) == 32 and z85.encode(key) in allowed_clients(self._keys)
        status = (b"200", b"OK") if known else (b"400", b"no such key")
        return [b"1.0", frames[1], *status, b"", b""]
