"""The one base of everything that is written to disk or read from a person."""

from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """Frozen, refuses unknown keys, and refuses NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def first_error(error: ValidationError, tagged: Collection[str] = ()) -> str:
    """The first complaint of pydantic as `where: what (got ...)`, on one line.

    After a key of `tagged` pydantic names the kind that it read it as, which nobody wrote.
    """
    first = error.errors(include_url=False)[0]
    loc = [str(part) for before, part in zip(("", *first["loc"]), first["loc"], strict=False) if before not in tagged]
    where = repr(".".join(loc))[1:-1] or "(top level)"  # a key may hold a line break
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if first["type"] == "missing":
        return f"{where}: missing"
    if first["type"] == "value_error":  # a rule of ours, whose words say what was found
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    return f"{where}: {first['msg']} (got {first['input']!r:.60})"
