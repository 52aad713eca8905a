"""`mekiki-train compare`: candidates, conditions and splits in; `study.json`, pictures and a report out.

data -> pool -> splits -> pictures under each condition -> jobs (fit, tests) -> figures, costs -> recommendation
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from models import __version__
from models.errors import ConfigError, MekikiError
from models.files import make_folder, write_whole
from trainer.conditions import ORIGINAL
from trainer.export import package_versions
from trainer.progress import progress
from trainer.study.cost import Cost, machine_words, measure_cost
from trainer.study.figures import summaries_of
from trainer.study.jobs import Done, Room, run_job
from trainer.study.plan import Options, Plan, plan_study, refuse_strange
from trainer.study.pool import Source
from trainer.study.prepare import Prepared
from trainer.study.recommend import Findings, recommend
from trainer.study.sheet import sheet_of
from trainer.study.types import DataSheet, Study, Times
from trainer.study.words import data_words, sheet_words
from trainer.study.workers import Workers, workers

Say = Callable[[str], None]
STUDY = "study.json"
DEVICE = "CPU"


def compare(options: Options, say: Say) -> tuple[Study, Path]:
    """Does what is not done yet, and writes the study and its report, whose path it returns too.

    Raises ConfigError and DatasetError before any work is done, and MekikiError when it is stopped; the same command
    goes on.
    """
    from trainer.study.report import write_report

    started = time.monotonic()
    refuse_strange(options)
    plan = plan_study(options)
    say(data_words(plan.pool, plan.splits, len(plan.conditions)))
    room = _room(options, plan)
    with _alone(room.work), workers(options.jobs, options.ray) as hands:
        sheet = sheet_of(plan.pool, plan.splits)
        for line in sheet_words(sheet):
            say(line)
        done = _work(options, plan, room, hands, say)
        costs = _costs(room, done)
        times = _times(options, plan, done, costs, started)
        study = _study(options, plan, sheet, done, times)
        write_whole(options.out / STUDY, (study.model_dump_json(indent=1) + "\n").encode())
        return study, write_report(study, options.out, options.lang)


def _study(options: Options, plan: Plan, sheet: DataSheet, done: Sequence[Done], times: Times) -> Study:
    cells = tuple(cell for one in done for cell in one.cells)
    failures = tuple(failure for one in done for failure in one.failures)
    summaries = summaries_of(cells)
    return Study(
        mekiki=__version__,
        versions={name: v for one in plan.candidates for name, v in package_versions(one.family).items()},
        seed=options.seed,
        n_splits=len(plan.splits),
        candidates=plan.candidates,
        conditions=plan.conditions,
        protocols=options.protocols,
        data=sheet,
        cells=cells,
        failures=failures,
        summaries=summaries,
        recommendation=recommend(
            Findings(plan.candidates, cells, summaries, failures, times.feasible), times.cycle_time_s
        ),
        command=options.command,
        times=times,
    )


def _times(options: Options, plan: Plan, done: Sequence[Done], costs: dict[str, Cost], started: float) -> Times:
    limit_s = options.cycle_time_s
    return Times(
        created_at=datetime.now(UTC),
        device=DEVICE,
        machine=machine_words(),
        cycle_time_s=limit_s,
        took_s=round(time.monotonic() - started, 3),
        fit_s=_fit_s(plan, done),
        latency_s={name: cost.latency_s for name, cost in costs.items()},
        throughput_per_s={name: cost.throughput_per_s for name, cost in costs.items()},
        memory_bytes={name: cost.memory_bytes for name, cost in costs.items()},
        feasible={name: limit_s is None or cost.latency_s["p99"] <= limit_s for name, cost in costs.items()},
    )


def _room(options: Options, plan: Plan) -> Room:
    work = options.workplace
    prepared = {c.name: Prepared.of(work / "pictures", c, plan.pool, options.seed) for c in plan.conditions}
    return Room(options.out.resolve(), work, prepared, options.seed, options.policy, plan.pool.has_boxes)


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Raises ConfigError where another study works in the same folder."""
    make_folder(work)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{work}: another study works in it; wait for it, or choose another folder") from error
        yield


def _work(options: Options, plan: Plan, room: Room, hands: Workers, say: Say) -> list[Done]:
    ready = sum(job.is_done(room) for job in plan.jobs)
    if ready:
        say(f"{options.out}: {ready} of {len(plan.jobs)} fits were found done, with their tests; goes on with the rest")
    try:
        _prepare(plan, room, hands, say)
        started = time.monotonic()
        done = hands.each(partial(run_job, room), plan.jobs, "compare", "fit")
    except KeyboardInterrupt as error:
        ready = sum(job.is_done(room) for job in plan.jobs)
        raise MekikiError(
            f"stopped: {ready} of {len(plan.jobs)} fits are done and kept in {options.out}; the same command goes on "
            "with the others"
        ) from error
    n_failed = len({(f.candidate, f.split, f.condition) for one in done for f in one.failures})
    words = f", {n_failed} measurements failed, see the report" if n_failed else ""
    say(f"compared: {len(done)} fits in {time.monotonic() - started:.0f} s{words}")
    return done


def _prepare(plan: Plan, room: Room, hands: Workers, say: Say) -> None:
    """Every picture under every condition, but those that are there."""
    used = {source for split in plan.splits for source in (*split.learn, *split.test)}
    wanted = [
        (prepared, source) for prepared in room.prepared.values() for source in plan.pool.sources if source in used
    ]
    missing = [(prepared, source) for prepared, source in wanted if not prepared.picture(source).exists()]
    if not missing:
        return
    started = time.monotonic()
    hands.each(partial(_write, room.seed), missing, "prepare", "picture")
    say(f"pictures: {len(missing)} prepared in {time.monotonic() - started:.0f} s")


def _write(seed: int, what: tuple[Prepared, Source]) -> None:
    what[0].write(what[1], seed)


def _costs(room: Room, done: Sequence[Done]) -> dict[str, Cost]:
    """Of each candidate, by its first bundle that learned from the pictures as they are."""
    found: dict[str, Cost] = {}
    plain = [one for one in done if one.job.learn == ORIGINAL and one.cells]
    for one in progress(plain, "cost", unit="bundle"):
        if one.job.candidate.name not in found:
            pictures = [room.prepared[ORIGINAL].picture(source) for source in one.job.split.test]
            found[one.job.candidate.name] = measure_cost(one.job.place(room).bundle, pictures, DEVICE)
    return found


def _fit_s(plan: Plan, done: Sequence[Done]) -> dict[str, float]:
    found = {}
    for candidate in plan.candidates:
        took = [one.fit.took_s for one in done if one.job.candidate == candidate and one.fit is not None]
        if took:
            found[candidate.name] = round(sum(took) / len(took), 3)
    return found
