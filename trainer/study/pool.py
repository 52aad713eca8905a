"""All pictures that a study may learn from or test on, each with its truth, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.errors import DatasetError
from models.files import sha256_of
from trainer.dataset import GOOD, choose_defects, scan
from trainer.progress import progress

Box = tuple[float, float, float, float]  # left, top, right, bottom, px


@dataclass(frozen=True, slots=True)
class Source:
    """One picture as it was given."""

    path: Path
    name: str  # its path below the data, with `/`
    sha256: str
    label: str  # "good" or the kind of its defect, as the name of a folder
    held_out: bool = False  # a good one that the data's own roles keep from learning
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    classes: tuple[str, ...] = ()  # of each box

    @property
    def is_good(self) -> bool:
        """Nothing is wrong with this part."""
        return self.label == GOOD

    @property
    def flat(self) -> str:
        """A file name that no other picture of the data has."""
        return self.name.replace("/", "-")


@dataclass(frozen=True)
class Pool:
    """The pictures by name."""

    root: Path
    sources: tuple[Source, ...]
    has_boxes: bool  # in a format of boxes; masks are not meant

    @cached_property
    def good(self) -> tuple[Source, ...]:
        """Parts without a defect."""
        return tuple(source for source in self.sources if source.is_good)

    @cached_property
    def defects(self) -> dict[str, tuple[Source, ...]]:
        """The other ones, by kind."""
        kinds = sorted({source.label for source in self.sources} - {GOOD})
        return {kind: tuple(source for source in self.sources if source.label == kind) for kind in kinds}

    @property
    def has_masks(self) -> bool:
        """Whether it is known of any defect which pixels it has."""
        return any(source.mask is not None for source in self.sources)

    @property
    def has_roles(self) -> bool:
        """Whether the data say themselves which good parts to learn from and which to test on."""
        return len({source.held_out for source in self.good}) == 2


def read_pool(root: Path, kinds: Sequence[str] = ()) -> Pool:
    """Finds the pictures below `root`; of the defects only `kinds`, where any are named.

    Raises DatasetError when there are no good parts or no defects, ConfigError for a kind that is not there.
    """
    dataset = scan(root)
    defects = choose_defects(dataset, kinds)
    if not defects:
        raise DatasetError(f"{root}: no defects, nothing can be measured without; add images to test/<defect>/")
    boxes = _boxes(root)
    roles = [(path, GOOD, False) for path in dataset.train_good] + [(path, GOOD, True) for path in dataset.test_good]
    roles += [(path, _folder_name(kind), False) for kind, paths in defects.items() for path in paths]
    sources = [
        Source(
            path=path,
            name=path.relative_to(root).as_posix(),
            sha256=sha256_of(path),
            label=label,
            held_out=held_out,
            mask=dataset.masks.get(path),
            boxes=boxes.get(path, ((), ()))[0],
            classes=boxes.get(path, ((), ()))[1],
        )
        for path, label, held_out in progress(roles, "read")
    ]
    return Pool(root, tuple(sorted(sources, key=lambda source: source.name)), bool(boxes))


def _boxes(root: Path) -> dict[Path, tuple[tuple[Box, ...], tuple[str, ...]]]:
    """Of the bad pictures, where the data have boxes."""
    from trainer.annotations import has_boxes, read_annotations

    if not has_boxes(root):
        return {}
    bad = read_annotations(root).bad
    return {p.path: (tuple(map(tuple, p.boxes.tolist())), p.labels) for p in bad}


def _folder_name(kind: str) -> str:
    """Classes of boxes may be called anything."""
    return kind.replace("/", "_").lstrip(".") or "defect"
