"""What a person asks of a study, and what is to be done for it. Reads, and writes nothing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import ConfigError
from trainer.conditions import ORIGINAL, Condition
from trainer.study.candidates import is_supervised, read_candidates
from trainer.study.jobs import Job, jobs_of
from trainer.study.pool import Pool, read_pool
from trainer.study.splits import Split, Wanted, make_splits
from trainer.study.types import Candidate, Protocol


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
    splits: int | None = None
    policy: str = "auto"
    seed: int = 0
    cycle_time_s: float | None = None
    jobs: int | None = None
    ray: str | None = None
    lang: Literal["en", "ja"] = "en"

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


def refuse_strange(out: Path, data: Path) -> None:
    """Raises ConfigError where `out` holds something that is no study, or lies in the data."""
    if out.resolve().is_relative_to(data.resolve()):
        raise ConfigError(f"{out}: lies in the data, where its pictures would be read as parts; choose another --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file, a folder was wanted; choose another --out")
    if out.exists() and any(out.iterdir()) and not (out / "work").is_dir():
        raise ConfigError(f"{out}: holds something that is no study; choose another --out, or empty it")


def plan_study(options: Options) -> Plan:
    """Reads the data and the candidates and splits. Raises ConfigError, DatasetError."""
    pool = read_pool(options.data, options.defects)
    candidates = read_candidates(options.candidates, pool)
    wanted = Wanted(
        count=options.splits,
        limit=options.limit,
        learn_defects=options.learn_defects,
        supervised=any(map(is_supervised, candidates)),
        seed=options.seed,
    )
    if options.policy == "recall_1" and not wanted.learns_defects:
        raise ConfigError("--policy recall_1: no defects are learned from; add --learn-defects N, or take auto")
    conditions = (Condition.of(), *(one for one in options.conditions if one.name != ORIGINAL))
    splits = make_splits(pool, wanted)
    return Plan(pool, candidates, conditions, splits, jobs_of(candidates, splits, conditions, options.protocols))
