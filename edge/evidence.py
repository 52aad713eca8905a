"""Keeps frames with their verdict and heatmap, for review and for training again.

`offer` is called on the `publish` thread after the verdict has left; `run` is the `evidence` thread's body.
What happens here never holds up a verdict: a frame that does not fit into the queue, or not onto the disk,
is counted as lost.
"""

import contextlib
import io
import logging
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.asking import Asking
from edge.config import EvidenceConfig, ReviewConfig
from edge.kept import Kept, Kind, kind_of
from edge.metrics import Metrics
from models.errors import MekikiError
from models.files import make_folder, write_whole
from models.prediction import Image, Prediction
from models.review import EVIDENCE, HEATMAP, REVIEW, SHADOW, AskedFor, KeptVerdict
from models.verdict import Verdict

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 16  # frames
MAX_WAITING_BYTES: Final = 256_000_000
_TIDY_EVERY_S = 60.0
_DAY_NS = 86_400_000_000_000
_NICE = 10
_DONE: Final = object()
# One filter for all rows, and runs only. OpenCV's default takes twice as long while the next part is judged, and makes
# a picture with a camera's noise no smaller (`python -m tests.bench.evidence`).
_FAST_PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a candidate in shadow said of the same frame, otherwise than the active model."""

    verdict: Verdict
    frame: bytes  # PNG, as its process made it: here it would cost the next part its time
    pictures: Mapping[str, bytes]  # JPEG of what each of the two found, by the ending of its file


@dataclass(frozen=True, slots=True)
class _Job:
    verdict: Verdict
    asked_for: AskedFor | None
    picture: Image | bytes  # a copy of our own, or PNG
    heatmap: NDArray[np.float32] | None
    kind: Kind
    beside: Beside | None

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self.picture) if isinstance(self.picture, bytes) else self.picture.nbytes


class Evidence:
    """Frames on their way to the disk."""

    def __init__(
        self, state: Path, config: EvidenceConfig, review: ReviewConfig, metrics: Metrics, seed: int = 0
    ) -> None:
        """Nothing is read or written before `run`."""
        self._folder, self._config, self._metrics = state / EVIDENCE, config, metrics
        self._random = random.Random(seed)  # noqa: S311 - chooses a sample, guards nothing
        self._asking = Asking(review, seed)
        self._kept = Kept(self._folder, state / REVIEW, config.borderline)
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._waiting_bytes = 0
        self._until_s: float | None = None  # time.monotonic() by which `run` ends
        self._failing = False

    def offer(self, verdict: Verdict, image: Image | None, prediction: Prediction | None = None) -> None:
        """Keeps a copy of the frame (uint8, BGR) if it is worth keeping. Never waits for the disk, never raises."""
        asked_for = self._asking.why(verdict)
        kind = self._wanted(verdict, asked_for)
        if kind is not None and image is not None:
            heatmap = None if prediction is None else prediction.heatmap
            self._take(_Job(verdict, asked_for, image, heatmap, kind, None))

    def offer_beside(self, verdict: Verdict, beside: Beside) -> None:
        """Keeps a frame of which a candidate says otherwise: one that was kept already becomes one. Else as `offer`."""
        self._take(_Job(verdict, None, beside.frame, None, "shadow", beside))

    def _take(self, job: _Job) -> None:
        if not self._config.max_bytes:
            return
        with self._changed:
            fits = not self._waiting or self._waiting_bytes + job.size <= MAX_WAITING_BYTES
            if self._until_s is not None or len(self._waiting) >= MAX_WAITING or not fits:
                self._metrics.evidence_lost()
                return
            self._waiting.append(replace(job, picture=copy(job.picture)))
            self._waiting_bytes += job.size
            self._changed.notify()

    def configure(self, config: EvidenceConfig) -> None:
        """Other limits from the next frame on. Any thread."""
        self._config = config
        self._kept.borderline = config.borderline

    def finish(self, within_s: float = 5.0) -> None:
        """Lets `run` write what waits and end; what is not on the disk by then is lost. Any thread."""
        with self._changed:
            self._until_s = time.monotonic() + within_s
            self._changed.notify()

    def run(self) -> None:
        """The thread's body; ends after `finish`. A disk that refuses is logged once, and tried with every frame."""
        step_back()
        loading, listed, tidied_s = self._kept.load(), False, time.monotonic() - _TIDY_EVERY_S
        while True:
            listed = listed or next(loading, _DONE) is _DONE
            if listed and time.monotonic() - tidied_s >= _TIDY_EVERY_S:
                self._tidy()
                tidied_s = time.monotonic()
            job = self._next(_TIDY_EVERY_S if listed else 0)
            if job is not None:
                self._keep(job)
            elif self._ending():
                return

    def _wanted(self, verdict: Verdict, asked_for: AskedFor | None) -> Kind | None:
        """The kind under which it is kept, if it is."""
        asked = asked_for is not None
        kind = kind_of(verdict.outcome, verdict.score, verdict.threshold, self._config.borderline, asked=asked)
        drawn = kind != "ok" or self._random.random() < self._config.ok_share
        return kind if drawn else None

    def _ending(self) -> bool:
        with self._changed:
            return self._until_s is not None and not self._waiting

    def _next(self, wait_s: float) -> _Job | None:
        """The oldest frame that waits, None when there is none in time. After the end of time, all are lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._until_s is not None, wait_s)
            while self._waiting:
                job = self._waiting.popleft()
                self._waiting_bytes -= job.size
                if self._until_s is None or time.monotonic() < self._until_s:
                    return job
                self._metrics.evidence_lost()
            return None

    def _keep(self, job: _Job) -> None:
        try:
            self._write(job)
        except (OSError, cv2.error, MekikiError) as error:
            self._metrics.evidence_lost()
            self._refused(error)
        else:
            if self._failing:
                _log.info("evidence: frames are kept again in %s", self._folder)
            self._failing = False
            self._metrics.evidence_kept(job.kind)
            self._metrics.evidence_size(self._kept.total_bytes)

    def _write(self, job: _Job) -> None:
        verdict = job.verdict
        day = datetime.fromtimestamp(verdict.captured_at_ns / 1e9, UTC).strftime("%Y-%m-%d")
        name = f"{quote(verdict.epoch, safe='')}_{quote(verdict.camera, safe='')}_{verdict.seq}"
        beside = {} if job.beside is None else _files_of(job.beside)
        frame = {} if f"{day}/{name}" in self._kept else _frame_of(job)
        size = sum(map(len, (*beside.values(), *frame.values())))
        if not self._kept.make_room(job.kind, size, self._config.max_bytes):
            raise MekikiError(
                f"no room for {size} bytes in max_bytes = {self._config.max_bytes} beside what matters more; "
                "review and move what is kept, or raise [evidence] max_bytes"
            )
        make_folder(self._folder / day)
        for ending, content in beside.items():
            write_whole(self._folder / day / f"{name}{ending}", content)
        write_frame(self._folder / day / name, frame)
        self._kept.add(f"{day}/{name}", job.kind, verdict.captured_at_ns, size)

    def _refused(self, error: Exception) -> None:
        if not self._failing:
            _log.error("evidence: %s: %s; frames are lost until it takes them again", self._folder, error)
        self._failing = True

    def _tidy(self) -> None:
        try:
            self._kept.clear_leftovers()
            self._kept.drop_older(time.time_ns() - int(self._config.max_age_days * _DAY_NS))
        except OSError as error:
            self._refused(error)
        self._metrics.evidence_size(self._kept.total_bytes)


def png(image: Image) -> bytes:
    """Of a frame, as it is kept."""
    return cv2.imencode(".png", image, _FAST_PNG)[1].tobytes()


def _frame_of(job: _Job) -> dict[str, bytes]:
    """By the endings of its files, the verdict last: who sees it sees all."""
    heatmap = {} if job.heatmap is None else {HEATMAP: _bytes_of(job.heatmap)}
    picture = job.picture if isinstance(job.picture, bytes) else png(job.picture)
    kept = KeptVerdict(**dict(job.verdict), asked_for=job.asked_for)
    return {".png": picture} | heatmap | {".json": kept.model_dump_json().encode()}


def _files_of(beside: Beside) -> dict[str, bytes]:
    """The verdict last: who sees it sees all."""
    pictures = {ending: picture for ending, picture in beside.pictures.items() if picture}
    return pictures | {SHADOW: beside.verdict.model_dump_json().encode()}


def write_frame(stem: Path, files: Mapping[str, bytes]) -> None:
    """Writes a file for each ending, in their order, the verdict last: all are there afterwards, or on OSError none."""
    paths = {stem.with_name(f"{stem.name}{ending}"): content for ending, content in files.items()}
    try:
        for path, content in paths.items():
            write_whole(path, content)
    except OSError:
        for path in reversed(paths):
            with contextlib.suppress(OSError):  # what refused to write may refuse this too; the next start clears it
                path.unlink(missing_ok=True)
        raise


def _bytes_of(heatmap: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, heatmap, allow_pickle=False)
    return file.getvalue()


def step_back() -> None:
    """Gives the calling thread less of the processor than those that judge. Refused in some containers: no harm.

    Less, but never nothing (SCHED_IDLE): while it holds Python's lock the threads that judge wait for it, and on a full
    box frames that are ng must still be kept. Work that can wait for ever belongs into a process of its own.
    """
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        except OSError as error:
            _log.debug("thread %s keeps its priority: %s", threading.current_thread().name, error)
