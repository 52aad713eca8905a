"""Whether annotated pictures are enough to learn boxes from and to measure what was learned."""

from __future__ import annotations

from collections import Counter

from models.errors import DatasetError
from trainer.annotations.types import Annotated

_FIX = "annotate more, or leave out the class"


def check_enough(annotated: Annotated, wanted_per_class: int = 2) -> None:
    """Raises DatasetError without boxes, without a good picture, or when a class is on too few pictures.

    Pictures count and not boxes: one is for learning and another for measuring. A class, and the good
    pictures, also need one that is not held out.
    """
    root = annotated.root
    if not annotated.bad:
        raise DatasetError(f"{root}: {len(annotated.pictures)} pictures and no box; draw boxes on the defects")
    if not annotated.good:
        raise DatasetError(
            f"{root}: no negatives: all {len(annotated.bad)} pictures have boxes; add pictures of good parts, without "
            "them nobody knows how often a good part is refused"
        )
    if all(picture.held_out for picture in annotated.good):
        raise DatasetError(f"{root}: all {len(annotated.good)} good pictures are held out; some are needed to learn")
    faults = [fault for name in annotated.classes if (fault := _fault(annotated, name, wanted_per_class))]
    if faults:
        raise DatasetError(f"{root}: {'; '.join(faults)}; {_FIX}")


def _fault(annotated: Annotated, name: str, wanted: int) -> str | None:
    held_out = Counter(picture.held_out for picture in annotated.bad if name in picture.labels)
    if held_out.total() < wanted:
        return f"class {name!r:.60} is on {held_out.total()} picture(s), at least {wanted} were wanted"
    if not held_out[False]:
        return f"class {name!r:.60} is on held out pictures only ({held_out[True]}), none is for learning"
    return None
