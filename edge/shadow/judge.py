"""A candidate at work, in its own process: the steps that the engine takes, and nothing that acts."""

import time
from multiprocessing.connection import Connection
from typing import Any

from edge.cameras.frame import Checkup, Grab
from edge.cameras.ring import Ring
from edge.inspector import Inspector
from edge.model import Model, check, warm
from edge.parts import Judged, Part
from edge.qualified import cache_of, qualified
from edge.shadow.drawing import Found, draw, unpacked
from edge.shadow.messages import Asked, Draw, Drawn, Failed, Ready, Said, Setup, put, receive, send, taken
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
    message = receive(link)
    while isinstance(message, Asked):
        image = ring.image(0, message.height_px, message.width_px)
        judged = judge(inspector, model, message, image)
        send(link, Said(verdict=judged.verdict))
        asked, message = message, receive(link)
        if isinstance(message, Draw):
            send(link, _drawn(ring, asked, judged, image, message.found_bytes))
            message = receive(link)


def _drawn(ring: Ring, asked: Asked, judged: Judged, image: Image, found_bytes: int) -> Drawn:
    active = Found(unpacked(taken(ring, found_bytes), image), asked.verdict.threshold)
    pictures = draw(image, active, Found(judged.prediction, judged.verdict.threshold))
    put(ring, b"".join(pictures))
    frame, own, others = map(len, pictures)
    return Drawn(frame_bytes=frame, active_bytes=own, candidate_bytes=others)


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
