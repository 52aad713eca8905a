"""A network between workstation and box that breaks in the middle of something large."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType

from tests.edge.box import free_port

_BLOCK = 1 << 15


class Cutter:
    """Forwards a port; the first connection that carries more than `after_bytes` to the box is cut, no other."""

    def __init__(self, to_port: int, after_bytes: int) -> None:
        self.port, self.cuts = free_port(), 0
        self._to_port, self._after_bytes = to_port, after_bytes
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.1)
        self._threads = [threading.Thread(target=self._accept, name="cutter")]

    def __enter__(self) -> "Cutter":
        self._threads[0].start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._threads.append(threading.Thread(target=self._forward, args=(near, far)))
                self._threads[-1].start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        carried, others = 0, {near: far, far: near}
        with near, far, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            for one in others:
                ready.register(one, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in ready.select(0.1):
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    if not (data := one.recv(_BLOCK)):
                        return
                    others[one].sendall(data)
                    carried += len(data) if one is near else 0
                if carried > self._after_bytes and not self.cuts:
                    self.cuts += 1
                    return
