"""Which images stand for a fit: those of its parity gate, and the golden ones that go into the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import DatasetError
from models.images import read_image
from models.prediction import Image
from trainer.augment import turned
from trainer.evaluate import Scored, found_in
from trainer.export import defaced
from trainer.good import Good, Judged
from trainer.looks import Looks

_FRESH_TURN_DEG = 7.5  # between the views that were learned from: an image that no model saw


def some_of(scored: Sequence[Scored], count: int) -> list[Image]:
    """Of native size, so many at most, from the first to the last."""
    return [read_image(item.path) for item in scored[:: max(1, len(scored) // count)][:count]]


def plainest(scored: Sequence[Scored]) -> dict[str, Image]:
    """The most inconspicuous good one and the plainest defect: what must not change on any device."""
    good = min((item for item in scored if item.label == "good"), key=lambda item: item.score)
    bad = max((item for item in scored if item.label != "good"), key=lambda item: item.score)
    return {"good": read_image(good.path), "defect": read_image(bad.path)}


def unseen_by(good: Good, judged: Judged, looks: Looks, count: int) -> list[Image]:
    """As the model sees them, good and bad; none that was learned from.

    What is turned only after it was laid upright stays turned: else the bank would hold most of its patches, and of
    distances near 0 a precision leaves little.
    """
    fresh = [looks.see(image) for image in some_of(judged.tested or judged.aside, count)]
    return fresh or [turned(looks.see(image), _FRESH_TURN_DEG) for image in good.images[:count]]


def golden_images(good: Good, judged: Judged, looks: Looks, say: Callable[[str], None]) -> dict[str, Image]:
    """A good one that was not learned from, the worst defect if there is one, and a defaced one.

    In each a part is found. Raises DatasetError where it is in none.
    """
    tested = found_in(judged.tested)
    unseen = [item for item in tested if item.label == "good"] or judged.aside
    bad = sorted((item for item in tested if item.label != "good"), key=lambda item: -item.score)
    candidates = {
        "good": [read_image(unseen[0].path)] if unseen else (turned(image, _FRESH_TURN_DEG) for image in good.images),
        "defect": [read_image(bad[0].path)] if bad else (),
        "defaced": (defaced(image, looks.on_part(image)) for image in good.images),
    }
    first = {name: next(filter(looks.finds, images), None) for name, images in candidates.items()}
    golden = {name: image for name, image in first.items() if image is not None}
    if not golden:
        raise DatasetError("in no image that a golden one could be made of a part was found; give --upright off")
    if "defaced" not in golden and "defect" not in golden:
        say("WARNING: no golden image is ng: a part that is defaced is not found; add images of defects")
    return golden
