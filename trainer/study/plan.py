"""What a person asks of a study, and what is to be done for it. Reads, and writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import ConfigError
from models.files import TEMPORARY_PREFIX
from trainer.conditions import ORIGINAL, Condition
from trainer.study.candidates import is_supervised, read_candidates
from trainer.study.jobs import Job, jobs_of
from trainer.study.pool import Pool, read_pool
from trainer.study.splits import Split, Wanted, make_splits
from trainer.study.types import Candidate, Protocol

_WRITTEN = ("study.json", "report.html", "pictures")  # in --out, where --work lies elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose. None leaves it to the data."""

    data: Path
    out: Path
    candidates: str  # a TOML file, or "all"
    conditions: tuple[Condition, ...]
    asked: tuple[str, ...]  # the command's arguments as they make the same study again, but for --data and --out
    protocols: tuple[Protocol, ...] = ("matched", "frozen")
    defects: tuple[str, ...] = ()
    limit: int | None = None
    learn_defects: int | None = None
    test_good: int | None = None
    test_defects: int | None = None
    splits: int | None = None
    policy: str = "auto"
    seed: int = 0
    cycle_time_s: float | None = None
    jobs: int | None = None
    ray: str | None = None
    lang: Literal["en", "ja"] = "en"
    work: Path | None = None  # studies that share it share their fits

    @property
    def workplace(self) -> Path:
        """Where fits and pictures are kept, absolute."""
        return (self.work or self.out / "work").resolve()

    @property
    def command(self) -> str:
        """Folders by their names: where they lie is of no use elsewhere."""
        named = ("--data", self.data.resolve().name, "--out", self.out.resolve().name)
        return shlex.join(("mekiki-train", "compare", *named, *self.asked))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; nothing is written yet."""

    pool: Pool
    candidates: tuple[Candidate, ...]
    conditions: tuple[Condition, ...]  # the pictures as they are come first
    splits: tuple[Split, ...]
    jobs: tuple[Job, ...]


def refuse_strange(options: Options) -> None:
    """Raises ConfigError where --out or --work hold something else than they should, or lie in the data."""
    _refuse_place(options.out, "--out", options.data, "work", _WRITTEN if options.work else ())
    if options.work is not None:
        _refuse_place(options.work, "--work", options.data, "lock", ())


def _refuse_place(place: Path, flag: str, data: Path, mark: str, own: Collection[str]) -> None:
    """A folder is ours where it has the `mark`, or nothing but what is our `own`."""
    if place.resolve().is_relative_to(data.resolve()):
        raise ConfigError(
            f"{place}: lies in the data, where its pictures would be read as parts; choose another {flag}"
        )
    if place.exists() and not place.is_dir():
        raise ConfigError(f"{place}: is a file, a folder was wanted; choose another {flag}")
    if not place.exists() or (place / mark).exists():
        return
    names = {path.name for path in place.iterdir() if not path.name.startswith(TEMPORARY_PREFIX)}
    if names - set(own):
        raise ConfigError(f"{place}: holds something that is no study; choose another {flag}, or empty it")


def plan_study(options: Options) -> Plan:
    """Reads the data and the candidates and splits. Raises ConfigError, DatasetError."""
    pool = read_pool(options.data, options.defects)
    candidates = read_candidates(options.candidates, pool)
    wanted = Wanted(
        count=options.splits,
        limit=options.limit,
        learn_defects=options.learn_defects,
        test_good=options.test_good,
        test_defects=options.test_defects,
        supervised=any(map(is_supervised, candidates)),
        seed=options.seed,
    )
    if options.policy == "recall_1" and not wanted.learns_defects:
        raise ConfigError("--policy recall_1: no defects are learned from; add --learn-defects N, or take auto")
    conditions = (Condition.of(), *(one for one in options.conditions if one.name != ORIGINAL))
    splits = make_splits(pool, wanted)
    return Plan(pool, candidates, conditions, splits, jobs_of(candidates, splits, conditions, options.protocols))
