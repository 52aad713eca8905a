"""What lies in a store of data sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from models.base import Frozen, Sha256
from models.review import AskedFor, Said
from models.verdict import Outcome

# A label becomes the name of a folder; "good" is that of parts without a defect.
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
SnapshotName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Role = Literal["train", "test"]


class Picture(Frozen):
    """What one object looks like. Files of the same pixels are the same picture, however they are packed."""

    sha256: Sha256
    suffix: str
    size_px: tuple[int, int]  # height, width
    pixels: Sha256  # of the decoded picture
    look: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]  # trainer/study/sheet.py's bits, packed


class FromFolder(Frozen):
    """Sorted into a folder of that label by a person."""

    kind: Literal["folder"] = "folder"
    folder: str
    path: str  # below it
    role: Role | None  # that the folders name; null where they leave it open


class FromReview(Frozen):
    """An answer of a review on a box."""

    kind: Literal["review"] = "review"
    box: str
    part: str
    said: Said
    by: str
    at: AwareDatetime
    note: str | None
    outcome: Outcome
    score: float | None
    threshold: float | None
    bundle: Sha256 | None
    asked_for: AskedFor | None = None  # why the box asked about this part; only "chance" is no choice by its score


class FromPerson(Frozen):
    """Said at the workstation, after looking at what others said: it settles that."""

    kind: Literal["settled"] = "settled"
    by: str
    at: AwareDatetime
    note: str | None


Origin = Annotated[FromFolder | FromReview | FromPerson, Field(discriminator="kind")]


class Claim(Frozen):
    """What somebody said of a picture; null as a label says nothing (any more)."""

    picture: Sha256
    label: Label | None
    mask: Sha256 | None = None
    origin: Origin


class Item(Frozen):
    """One picture of a snapshot."""

    picture: Sha256
    suffix: str
    pixels: Sha256
    label: Label
    role: Role
    mask: Sha256 | None = None
    said_by: tuple[Origin, ...] = Field(min_length=1)  # all whose word stands behind the label


class Snapshot(Frozen):
    """A data set as it was at a moment."""

    schema_version: Literal[1] = 1
    name: SnapshotName
    created_at: AwareDatetime
    parent: SnapshotName | None
    near: int = Field(ge=0)  # bits apart, up to which pictures count as alike
    items: tuple[Item, ...] = Field(min_length=1)  # by pixels

    def of(self, role: Role | None = None, *, good: bool | None = None) -> list[Item]:
        """Those of a role, good or not; None: of either."""
        found = (item for item in self.items if role in (None, item.role))
        return [item for item in found if good in (None, item.label == "good")]
