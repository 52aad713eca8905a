"""What a person said of a part: written on the box beside its evidence, read where data sets are made.

    evidence/<day>/<name>.png            the picture as it was judged
    evidence/<day>/<name>.heatmap.npy    where the model saw something, float32 (h, w); not of every model and verdict
    evidence/<day>/<name>.json           the verdict, a KeptVerdict
    evidence/<day>/<name>.shadow         what a candidate in shadow said otherwise, a Verdict
    review/<day>/<name>/<number>.json    an answer, a Review: never changed, never removed

`<day>/<name>` is the part's key. Answers are numbered from 1; a person's last one counts, and `undo` takes it back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from models.base import Sha256, first_error
from models.errors import MekikiError
from models.verdict import Outcome, Verdict

EVIDENCE: Final = "evidence"
REVIEW: Final = "review"
HEATMAP: Final = ".heatmap.npy"
SHADOW: Final = ".shadow"
FIRST_ANSWER: Final = "1.json"

AskedFor = Literal["review", "band", "chance"]  # the bundle's review band; [review] band of the settings; its share
Said = Literal["agree", "false_reject", "missed_defect", "unclear", "undo"]
Truth = Literal["good", "defect"]
Key = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d/[^/]+$")]
Who = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
# A kind of defect becomes the name of a folder.
DefectKind = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class KeptVerdict(Verdict):
    """A verdict as it lies in the evidence."""

    asked_for: AskedFor | None = None  # why a person is asked about this part; null: nobody asks


class Review(BaseModel):
    """One answer. Readers ignore keys that they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    part: Key
    said: Said
    kind: DefectKind | None = None  # which defect it is, where one is
    note: str | None = Field(default=None, max_length=1000)
    by: Who
    at: AwareDatetime
    verdict: KeptVerdict
    picture_sha256: Sha256
    heatmap_sha256: Sha256 | None = None  # null: the model made none

    @property
    def truth(self) -> Truth | None:
        """What the part is, by this answer; None where it leaves that open."""
        return truth_of(self.verdict.outcome, self.said)


def truth_of(outcome: Outcome, said: Said) -> Truth | None:
    """To agree with `unknown` says nothing of the part: the picture was as bad as the box said."""
    if said == "false_reject" or (said, outcome) == ("agree", "ok"):
        return "good"
    return "defect" if said == "missed_defect" or (said, outcome) == ("agree", "ng") else None


def objection(outcome: Outcome, said: Said, kind: str | None = None) -> str | None:
    """Why this cannot be said of such a verdict; None where it can."""
    if (outcome, said) == ("ok", "false_reject"):
        return "the verdict is ok, nothing was rejected; say missed_defect or agree"
    if (outcome, said) == ("ng", "missed_defect"):
        return "the verdict is ng, nothing was missed; say agree or false_reject"
    if kind is not None and kind.lower() == "good":
        return "good is no kind of defect; say false_reject, or leave it out"
    if kind is not None and truth_of(outcome, said) != "defect":
        return f"{said} of {outcome} is no defect, and takes no kind of defect; leave it out"
    return None


def answers_in(folder: Path) -> list[Review]:
    """All answers about one part, the oldest first; `folder` is `review/<day>/<name>`.

    Raises MekikiError for a file that is none.
    """
    if not folder.is_dir():
        return []
    numbered = sorted((int(path.stem), path) for path in folder.glob("*.json") if path.stem.isdigit())
    return [_read(path) for _, path in numbered]


def _read(path: Path) -> Review:
    try:
        return Review.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise MekikiError(
            f"{path}: {first_error(error)}; no answer of a review: take the file away, then try again"
        ) from error


def standing(answers: Sequence[Review]) -> list[Review]:
    """The last answer of each person, without those that were taken back; the oldest first."""
    last = {answer.by: answer for answer in answers}
    return sorted((answer for answer in last.values() if answer.said != "undo"), key=lambda answer: answer.at)
