"""The way out of a box, in this process: real journal, bus, publisher and replay, without cameras or a model."""

import contextlib
import json
import random
import socket
import threading
import time
from pathlib import Path

import zmq
from prometheus_client import CollectorRegistry

from edge.bus import Bus
from edge.cameras.frame import Grab
from edge.checkpoints import Checkpoints
from edge.config import BusConfig
from edge.epoch import next_epoch
from edge.journal import Journal
from edge.metrics import Metrics
from edge.parts import Judged
from edge.publisher import Publisher
from edge.replay import Replay
from edge.sockets import open_context
from models.heartbeat import CameraBeat, Heartbeat
from models.verdict import Stages, Verdict

LIMIT_S = 20


def verdict(seq: int, camera: str = "top", epoch: str = "e") -> Verdict:
    return Verdict(
        epoch=epoch,
        camera=camera,
        seq=seq,
        outcome="ok",
        reason=None,
        score=0.1,
        threshold=0.5,
        bundle=None,
        device="CPU",
        precision="f32",
        captured_at_ns=1,
        captured_ns=1,
        stages=Stages(read_s=0, queue_s=0, infer_s=0, decode_s=0, total_s=0),
    )


def local_config(**settings: object) -> BusConfig:
    """Free ports of this machine; the replay's is the one after the bus's, as a listener takes it."""
    port = _free_pair()
    return BusConfig(**{"bind": f"tcp://127.0.0.1:{port}", "replay": f"tcp://127.0.0.1:{port + 1}"} | settings)


def _free_pair() -> int:
    """The first of two; below those that the system gives to connections, which come and go meanwhile."""
    while True:
        port = random.randrange(15_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port


def make_metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["top"])


class Outlet:
    """From `start` to `stop`, or to `die`, which leaves as a crash would: no last heartbeat."""

    def __init__(self, state: Path, config: BusConfig, max_verdicts: int = 1000, wait_s: float = 0.0) -> None:
        self.config, self.metrics, self.published = config, make_metrics(), []
        self.context = open_context(config)
        context = self.context.__enter__()
        self.bus = Bus(context, config)
        self.journal = Journal(state / "journal.db", max_verdicts, self.metrics)
        self.epoch = next_epoch(self.journal)
        self.checkpoints = Checkpoints(self.journal)
        self.replay = Replay(context, config, self.journal, self.epoch, self.metrics)
        self.publisher = Publisher(
            self.bus, self.journal, self.metrics, self.beat, self.published.append, config.heartbeat_s
        )
        self._seqs: dict[str, int] = {}
        if wait_s:
            assert self.bus.wait_for_subscriber(wait_s, lambda: False)
        self._publish = threading.Thread(target=self.publisher.run)
        self._rest = [threading.Thread(target=body.run) for body in (self.replay, self.checkpoints)]
        for thread in (self._publish, *self._rest):
            thread.start()

    def __enter__(self) -> "Outlet":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def beat(self, seqs: dict[str, int]) -> Heartbeat:
        cameras = {name: CameraBeat(seq=seqs.get(name, -1), up=True, bundle="b") for name in ("top", *seqs)}
        return Heartbeat(
            epoch=self.epoch, sent_at_ns=time.time_ns(), interval_s=self.config.heartbeat_s, cameras=cameras
        )

    def put(self, count: int = 1, camera: str = "top") -> None:
        """The next verdicts of a camera."""
        for _ in range(count):
            seq = self._seqs[camera] = self._seqs.get(camera, -1) + 1
            self.publisher.put(Judged(verdict(seq, camera, self.epoch), Grab.now(None)))

    @property
    def count(self) -> int:
        """How many verdicts were put, of all cameras."""
        return sum(seq + 1 for seq in self._seqs.values())

    def settle(self, count: int) -> None:
        """Until so many verdicts in all were published."""
        until_s = time.monotonic() + LIMIT_S
        while len(self.published) < count:
            assert time.monotonic() < until_s, f"{len(self.published)} of {count} published"
            time.sleep(0.005)

    def stop(self) -> None:
        self.publisher.finish()
        for part in (self.replay, self.checkpoints):
            part.finish()
        for thread in (self._publish, *self._rest):
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        self.bus.close()
        self.replay.close()
        self.journal.close()
        self.context.__exit__(None, None, None)


class Peer:
    """A plain socket that connects: what a stranger writes in an afternoon."""

    def __init__(self, kind: int, address: str, **options: object) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        for name, value in ({"linger": 0} | options).items():
            self.socket.setsockopt(getattr(zmq, name.upper()), value)
        self.socket.connect(address)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.destroy(linger=0)

    def frames(self, limit_s: float = LIMIT_S) -> list[bytes]:
        assert self.socket.poll(int(limit_s * 1000)), f"nothing within {limit_s} s"
        return self.socket.recv_multipart()

    def ask(self, **question: object) -> tuple[dict, list[dict]]:
        self.socket.send_json({"version": 1} | question)
        head, *rest = self.frames()
        return json.loads(head), [json.loads(frame) for frame in rest]
