"""The process that reads one camera: `python -m edge.cameras.child MEMORY SOCKET PARENT`.

`edge/cameras/process.py` starts it. One thread. A driver that crashes or hangs takes down this process
and nothing else. It ends when the daemon closes the socket, and is killed when the daemon dies.
"""

import os
import socket
import sys

import cv2

from edge.cameras import is_live, make_camera
from edge.cameras.messages import Ended, Link, Lost, Setup, clip
from edge.cameras.pace import answer, hand_out, play, watch
from edge.cameras.reader import Reader
from edge.cameras.ring import Ring
from edge.child import die_with
from models.errors import CameraError

_SETUP_S = 10.0


def main(arguments: list[str]) -> int:
    """Reads the camera to its end, or until the daemon goes."""
    memory, end, parent = (int(argument) for argument in arguments)
    die_with(parent)
    cv2.setNumThreads(1)  # the cores are the model's
    link = Link(socket.socket(fileno=end))
    try:
        setup = link.receive(_SETUP_S)
        if isinstance(setup, Setup):
            ring = Ring.received(memory)
            os.close(memory)
            _read(setup, ring, link)
    except EOFError:
        pass  # the daemon closed its end: we are no longer wanted
    return 0


def _read(setup: Setup, ring: Ring, link: Link) -> None:
    reader = Reader(setup, make_camera(setup.config), ring, link)
    try:
        reader.open()
        reader.wait_until_judged()
        _loop(setup, reader)
        link.send(Ended())
    except CameraError as error:
        link.send(Lost(detail=clip(str(error)), frozen=reader.frozen))
    finally:
        reader.close()


def _loop(setup: Setup, reader: Reader) -> None:
    """By what starts a part, and by who waits for whom."""
    live = is_live(setup.config)
    match setup.config.trigger:
        case "free":
            watch(reader) if live else play(reader)
        case "external":
            answer(reader) if live else hand_out(reader)
        case "presence":
            from edge.cameras.gated import guard

            guard(reader)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
