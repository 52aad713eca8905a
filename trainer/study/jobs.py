"""One fit and its tests, in whatever process they run. What is done already is taken from the cache.

pictures under a condition -> fit -> bundle -> scores on its IR under each condition -> figures, pictures of the worst
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import open_bundle
from models.errors import MekikiError
from models.files import make_folder
from models.runner import Runner
from models.threshold import Threshold
from trainer.conditions import ORIGINAL, Condition
from trainer.evaluate import Scored, score_images
from trainer.fit_command import run_fit
from trainer.pictures import draw_overlay
from trainer.study.aupro import aupro_of
from trainer.study.cache import Fit, Measured, Place, keep, place_of, read
from trainer.study.candidates import fit_options
from trainer.study.figures import figures_of
from trainer.study.pool import Source
from trainer.study.prepare import Prepared, lay_out
from trainer.study.splits import Split
from trainer.study.types import Candidate, Cell, Failure, Protocol, ScoredPart

_SHOWN = 3  # the lowest defects, and as many of the highest good parts


@dataclass(frozen=True, slots=True)
class Room:
    """What all jobs of a study share."""

    out: Path  # absolute
    work: Path  # absolute; what a stopped study goes on with
    prepared: dict[str, Prepared]  # by the name of the condition
    seed: int
    policy: str
    has_boxes: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One fit, and where it is tested."""

    candidate: Candidate
    split: Split
    learn: str  # name of the condition of what is learned from
    tests: tuple[tuple[str, tuple[Protocol, ...]], ...]  # condition -> what its figures count as

    def place(self, room: Room) -> Place:
        """Where its bundle and its findings are kept."""
        learn = room.prepared[self.learn].condition
        return place_of(room.work, self.candidate, self.split, learn, room.seed, room.policy)

    def is_done(self, room: Room) -> bool:
        """Whether nothing is left to do."""
        place = self.place(room)
        every = (_kept(room, place, room.prepared[name].condition, self.split) for name, _ in self.tests)
        return read(place.fit, Fit) is not None and all(found is not None for found in every)


@dataclass(frozen=True, slots=True)
class Done:
    """What a job gave."""

    job: Job
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    fit: Fit | None  # None: it failed


def jobs_of(
    candidates: Sequence[Candidate],
    splits: Sequence[Split],
    conditions: Sequence[Condition],
    protocols: Sequence[Protocol],
) -> tuple[Job, ...]:
    """Frozen: one fit on the pictures as they are, tested under each condition. Matched: a fit for each condition.

    Without a condition both are the same fit.
    """
    found = []
    for candidate in candidates:
        for split in splits:
            frozen = tuple((c.name, _counts_as(c, protocols)) for c in conditions)
            found.append(Job(candidate, split, ORIGINAL, tuple((name, as_) for name, as_ in frozen if as_)))
            if "matched" in protocols:
                others = (c.name for c in conditions if c.name != ORIGINAL)
                found += [Job(candidate, split, name, ((name, ("matched",)),)) for name in others]
    return tuple(found)


def _counts_as(condition: Condition, protocols: Sequence[Protocol]) -> tuple[Protocol, ...]:
    """What a test under it counts as, of a bundle that learned from the pictures as they are."""
    return tuple(p for p in protocols if p == "frozen" or condition.name == ORIGINAL)


def run_job(room: Room, job: Job) -> Done:
    """Fits and tests. What the work itself refuses is a Failure; what is a bug is raised."""
    place = job.place(room)
    try:
        fit = _fitted(room, job, place)
    except MekikiError as error:
        every = tuple(failure for name, as_ in job.tests for failure in _failures(room, job, name, as_, error))
        return Done(job, (), every, None)
    cells: list[Cell] = []
    failures: list[Failure] = []
    for name, counts_as in job.tests:
        try:
            tested = _tested(room, job, place, room.prepared[name])
        except MekikiError as error:
            failures += _failures(room, job, name, counts_as, error)
        else:
            cells += [_cell(job, name, protocol, tested) for protocol in counts_as]
    return Done(job, tuple(cells), tuple(failures), fit)


def _fitted(room: Room, job: Job, place: Place) -> Fit:
    if (fit := read(place.fit, Fit)) is not None:
        return fit
    make_folder(place.folder)
    left_out = lay_out(place.data, room.prepared[job.learn], job.split.learn, has_boxes=room.has_boxes)
    options = fit_options(job.candidate, data=place.data, out=place.bundle, seed=room.seed, policy=room.policy)
    for old in (options.out, options.report):  # of a study that was stopped between the two
        shutil.rmtree(old, ignore_errors=True)
    started = time.monotonic()
    with (place.folder / "fit.log").open("w", buffering=1, encoding="utf-8") as log:
        run_fit(options, lambda words: log.writelines((words, "\n")))
    fit = Fit(took_s=round(time.monotonic() - started, 3), left_out=tuple(source.name for source in left_out))
    keep(place.fit, fit)
    shutil.rmtree(place.data)
    return fit


def _tested(room: Room, job: Job, place: Place, prepared: Prepared) -> Measured:
    if (found := _kept(room, place, prepared.condition, job.split)) is not None:
        return found
    bundle, test = open_bundle(place.bundle), job.split.test
    labelled = [(source.label, prepared.picture(source)) for source in test]
    scored = score_images(Runner.of(bundle), labelled, "test")
    limit = bundle.manifest.threshold
    parts = tuple(
        ScoredPart(sha256=source.sha256, label=source.label, score=item.score, lost=item.prediction.lost is not None)
        for source, item in zip(test, scored, strict=True)
    )
    good, defect = ([part.score for part in parts if (part.label == "good") is flag] for flag in (True, False))
    masks = {item.path: prepared.mask(source) for source, item in zip(test, scored, strict=True)}
    tested = Measured(
        threshold=limit,
        figures=figures_of(good, defect, limit, aupro_of((item, masks[item.path]) for item in scored)),
        parts=parts,
        pictures=_draw(room, job, prepared, list(zip(test, scored, strict=True)), limit),
    )
    keep(place.test(prepared.condition, test), tested)
    return tested


def _kept(room: Room, place: Place, condition: Condition, split: Split) -> Measured | None:
    found = read(place.test(condition, split.test), Measured)
    if found is None or not all((room.out / name).is_file() for name in found.pictures.values()):
        return None
    return found


def _draw(
    room: Room, job: Job, prepared: Prepared, found: list[tuple[Source, Scored]], limit: Threshold
) -> dict[str, str]:
    """The defects that score lowest and the good parts that score highest; sha256 -> path from OUT."""
    learned = job.place(room).folder.name[:6]  # the same name may have had other options in a former study
    folder = Path("pictures") / f"{job.candidate.name}-{learned}" / f"{job.learn[:60]}~{prepared.folder.name}"
    make_folder(room.out / folder)
    good = sorted((pair for pair in found if pair[0].is_good), key=lambda pair: -pair[1].score)
    bad = sorted((pair for pair in found if not pair[0].is_good), key=lambda pair: pair[1].score)
    drawn = {}
    for source, item in (*bad[:_SHOWN], *good[:_SHOWN]):
        drawn[source.sha256] = (folder / f"{item.path.stem}.jpg").as_posix()
        draw_overlay(room.out / drawn[source.sha256], item, limit.ng_at_or_above, prepared.mask(source))
    return drawn


def _cell(job: Job, condition: str, protocol: Protocol, tested: Measured) -> Cell:
    return Cell(
        candidate=job.candidate.name,
        split=job.split.index,
        protocol=protocol,
        condition=condition,
        **{name: getattr(tested, name) for name in Measured.model_fields},
    )


def _failures(
    room: Room, job: Job, condition: str, counts_as: tuple[Protocol, ...], error: MekikiError
) -> list[Failure]:
    """Raises KeyboardInterrupt where that was what stopped the work."""
    if isinstance(error.__cause__, KeyboardInterrupt):
        raise KeyboardInterrupt from error
    words = " ".join(str(error).split())
    for place in (job.place(room).folder, room.work, room.out):
        words = words.replace(f"{place}/", "")
    one = Failure(
        candidate=job.candidate.name, split=job.split.index, protocol="frozen", condition=condition, error=words
    )
    return [one.model_copy(update={"protocol": protocol}) for protocol in counts_as]
