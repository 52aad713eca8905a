"""A candidate at work, in its own process: the steps that the engine takes, and nothing that acts."""

import time
from multiprocessing.connection import Connection
from typing import Any

from edge.cameras.frame import Checkup, Grab
from edge.cameras.ring import Ring
from edge.inspector import Inspector
from edge.model import Model, check, warm
from edge.parts import Judged, Part
from edge.pictures import jpeg
from edge.qualified import cache_of, qualified
from edge.shadow.messages import Asked, Failed, Ready, Said, Setup, put, receive, send
from models.errors import MekikiError, ModelError
from models.gate import Gate
from models.prediction import Image
from models.store import Store


def serve(ring: Ring, link: "Connection[Any, Any]") -> None:
    """Judges what it is asked to. Raises EOFError or OSError when the daemon is gone."""
    setup = receive(link)
    if not isinstance(setup, Setup):
        return
    try:
        bundle = Store(setup.store, Gate(setup.trust)).open(setup.digest)
        chosen = qualified(bundle, setup, setup.budget_s, keep=False)  # its times are those of the lowest priority
        model = warm(
            check(chosen, setup.device, setup.inference, cache_of(setup)), setup.inference, setup.sizes, lanes=1
        )
    except (MekikiError, OSError, RuntimeError, MemoryError) as error:
        send(link, Failed(detail=" ".join(str(error).split())))
        return
    inspector = Inspector(setup.epoch)
    send(link, Ready(expected_s=model.pace.expected_s))
    while isinstance(asked := receive(link), Asked):
        image = ring.image(0, asked.height_px, asked.width_px)
        judged = judge(inspector, model, asked, image)
        differs = judged.verdict.outcome != asked.verdict.outcome
        picture = jpeg(image, judged.prediction, judged.verdict.threshold) if differs else b""
        send(link, Said(verdict=judged.verdict, picture_bytes=put(ring, picture)))


def _candidate(setup: Setup) -> Model:
    """Verified, qualified, compiled and warm. Raises MekikiError."""
    bundle = Store(setup.store, Gate(setup.trust)).open(setup.digest)
    chosen = qualified(bundle, setup, setup.budget_s)
    return warm(check(chosen, setup.device, setup.inference, cache_of(setup)), setup.inference, setup.sizes, lanes=1)


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
