"""The process in which a candidate judges: `python -m edge.shadow.child MEMORY SOCKET PARENT`.

`edge/shadow/process.py` starts it. It is the last to get the processor and the first to lose its memory.
"""

import contextlib
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2

from edge.cameras.frame import Checkup, Grab
from edge.cameras.ring import Ring
from edge.child import die_with
from edge.inspector import Inspector
from edge.model import Model, prepare
from edge.parts import Judged, Part
from edge.pictures import jpeg
from edge.shadow.messages import Asked, Failed, Ready, Said, Setup, receive, send
from models.errors import MekikiError, ModelError
from models.gate import Gate
from models.prediction import Image
from models.store import Store

_FIRST_TO_GO = "1000"


def main(arguments: list[str]) -> int:
    """Judges what it is asked to, until the daemon goes."""
    memory, end, parent = (int(argument) for argument in arguments)
    step_far_back()  # before any other thread of this process is made: they get what this one has
    die_with(parent)
    cv2.setNumThreads(1)
    link: Connection[Any, Any] = Connection(end)
    with contextlib.suppress(EOFError, OSError):  # the daemon closed its end: we are no longer wanted
        setup = receive(link)
        if isinstance(setup, Setup):
            ring = Ring.received(memory)
            os.close(memory)
            _serve(setup, ring, link)
    return 0


def step_far_back() -> None:
    """Whatever else wants to run goes before this process, at once. Each is refused in some containers: no harm."""
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


def _serve(setup: Setup, ring: Ring, link: "Connection[Any, Any]") -> None:
    try:
        bundle = Store(setup.store, Gate(setup.trust)).open(setup.digest)
        model = prepare(bundle, setup.device, setup.inference, setup.sizes, lanes=1)
    except (MekikiError, OSError, RuntimeError, MemoryError) as error:
        send(link, Failed(detail=" ".join(str(error).split())))
        return
    inspector = Inspector(setup.epoch)
    send(link, Ready(expected_s=model.pace.expected_s))
    while isinstance(asked := receive(link), Asked):
        image = ring.image(0, asked.height_px, asked.width_px)
        judged = judge(inspector, model, asked, image)
        differs = judged.verdict.outcome != asked.verdict.outcome
        send(link, Said(verdict=judged.verdict))
        link.send_bytes(jpeg(image, judged.prediction, judged.verdict.threshold) if differs else b"")


def judge(inspector: Inspector, model: Model, asked: Asked, image: Image) -> Judged:
    """What the model would have said of the part: every step as the engine takes it."""
    active, now_ns = asked.verdict, time.monotonic_ns()
    checkup = None if asked.health is None else Checkup(asked.health, is_done=True)
    grab = Grab(active.captured_ns, active.captured_at_ns, now_ns, image, active.source, None, checkup)
    part = Part(active.camera, active.seq, active.captured_ns, active.part_id, active.deadline_s, grab, now_ns)
    if (doubt := inspector.doubt_of(part, model)) is not None:
        return inspector.unknown(part, model, doubt)
    try:
        return inspector.judged(part, model, model.runners[0].predict(image))
    except ModelError as error:
        return inspector.judged(part, model, error)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
