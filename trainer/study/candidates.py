"""The models that a study tries: from a TOML file, or all that the data allow."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.base import first_error
from models.errors import ConfigError
from trainer.fit_command import families, options_of
from trainer.options import Common
from trainer.study.pool import Pool
from trainer.study.types import Candidate

ALL = "all"
_ANOMALY_SIDES_PX = (320, 448)
_NEEDED = 2  # pictures of one kind, so that one can be learned from and another tested
_WANTED = "wanted [[candidate]] with name, family and, where the usual ones do not serve, options = {image_size = 448}"


def read_candidates(wanted: str, pool: Pool) -> tuple[Candidate, ...]:
    """Those of the TOML file `wanted`, or "all". Raises ConfigError for what `fit` would not take."""
    return all_candidates(pool) if wanted == ALL else parse_candidates(Path(wanted))


def parse_candidates(path: Path) -> tuple[Candidate, ...]:
    """Reads and checks the file, before any work is done. Raises ConfigError that says which candidate is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {_WANTED}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigError(f"{path}: no TOML ({error}); {_WANTED}") from error
    if set(raw) != {"candidate"} or not isinstance(raw["candidate"], list) or not raw["candidate"]:
        raise ConfigError(f"{path}: {', '.join(raw) or 'nothing'} was found; {_WANTED}")
    found = tuple(_candidate(item, f"{path}, candidate {i}") for i, item in enumerate(raw["candidate"], 1))
    _refuse_twice(path, found)
    return found


def all_candidates(pool: Pool) -> tuple[Candidate, ...]:
    """Every anomaly model, PatchCore at two sizes; and the usual model of each family that the truth is there for."""
    found: list[Candidate] = []
    for family, models in families().items():
        if family == "anomaly":
            # Sizes that are given: one chosen by how fast this machine is today would differ from run to run.
            found += [_named("anomaly", models[0], {"image_size": side}) for side in _ANOMALY_SIDES_PX]
            found += [_named("anomaly", model, {"image_size": _ANOMALY_SIDES_PX[0]}) for model in models[1:]]
        elif _allows(pool, family):
            found.append(_named(family, models[0], {}))
    return tuple(found)


def fit_options(candidate: Candidate, *, data: Path, out: Path, seed: int, policy: str) -> Common:
    """What `mekiki-train fit` would be given. A candidate's own policy goes before the study's."""
    options = options_of(candidate.family, candidate.options, data=data, out=out)
    return replace(options, seed=seed, policy=str(candidate.options.get("policy", policy)))


def is_supervised(candidate: Candidate) -> bool:
    """Whether it learns from defects too."""
    return candidate.family != "anomaly"


def _named(family: Any, model: str, options: dict[str, int]) -> Candidate:
    size = "".join(f"-{side}" for side in options.values())
    return Candidate(name=f"{model}{size}", family=family, options={"model": model, **options})


def _allows(pool: Pool, family: str) -> bool:
    if max((len(sources) for sources in pool.defects.values()), default=0) < _NEEDED:
        return False
    match family:
        case "detection":
            return pool.has_boxes or pool.has_masks
        case "segmentation":
            return pool.has_masks
        case _:
            return True


def _candidate(raw: Any, where: str) -> Candidate:
    try:
        candidate = Candidate.model_validate(raw)
        options = fit_options(candidate, data=Path("data"), out=Path("out"), seed=0, policy="auto")
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_error(error)}; {_WANTED}") from error
    except ConfigError as error:
        raise ConfigError(f"{where} ({raw['name']}): {error}") from error
    if options.weights is not None and not options.weights.is_file():
        raise ConfigError(f"{where} ({candidate.name}): weights {options.weights}: no such file; give another path")
    return candidate


def _refuse_twice(path: Path, found: tuple[Candidate, ...]) -> None:
    names = [candidate.name for candidate in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: two candidates are called {twice[0]}; give each a name of its own")
