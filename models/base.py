"""The one base of everything that is written to disk or read from a person."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """Frozen, refuses unknown keys, and refuses NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def first_error(error: ValidationError) -> str:
    """The first complaint of pydantic as `where: what (got ...)`, on one line."""
    first = error.errors(include_url=False)[0]
    where = repr(".".join(str(part) for part in first["loc"]))[1:-1] or "(top level)"  # a key may hold a line break
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    if first["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {first['msg']} (got {first['input']!r:.60})"
