"""`mekiki-train dataset add`: pictures that were sorted into folders, or what `mekiki-deploy pull` brought."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import DatasetError
from models.files import sha256_of
from models.review import EVIDENCE, REVIEW, Review, answers_in
from trainer.dataset import GOOD, Dataset, scan_folders
from trainer.progress import progress
from trainer.versions.labels import UNNAMED
from trainer.versions.store import DatasetStore
from trainer.versions.types import Claim, FromFolder, FromReview, Role


@dataclass(slots=True)
class Added:
    """What came of it, for a person."""

    n_new: int = 0  # claims
    n_known: int = 0
    by_label: Counter[str] = field(default_factory=Counter)  # of the new ones
    n_lost: int = 0  # answers whose picture did not come with them

    def in_words(self) -> str:
        """One line."""
        kinds = ", ".join(f"{count} {label}" for label, count in sorted(self.by_label.items())) or "nothing"
        words = f"added: {kinds}"
        words += f"; {self.n_known} were there before" if self.n_known else ""
        lost = "whose picture is not there (removed on the box to make room, or not pulled yet) left out"
        return words + (f"; {self.n_lost} answer(s) {lost}" if self.n_lost else "")


def add(store: DatasetStore, folder: Path) -> Added:
    """Adds either of the two. Raises DatasetError where it is neither, or a file in it cannot be read.

    Stopped at any point the same command goes on: what is there stays and is not added twice.
    """
    added = Added()
    boxes = boxes_in(folder)
    if boxes:
        for name, box in boxes.items():
            _add_box(store, name, box, added)
    else:
        _add_folder(store, folder, added)
    return added


def boxes_in(folder: Path) -> dict[str, Path]:
    """Name -> folder of each box whose evidence or answers lie there; `folder` may be a box itself."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give images in folders, or what `mekiki-deploy pull` brought")
    if _is_box(folder):
        return {folder.resolve().name: folder}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and _is_box(path)}


def _is_box(folder: Path) -> bool:
    return (folder / EVIDENCE).is_dir() or (folder / REVIEW).is_dir()


def _add_folder(store: DatasetStore, folder: Path, added: Added) -> None:
    dataset = scan_folders(folder)
    has_roles = (folder / "train").is_dir()
    for path, label, role in progress(_labelled(dataset, has_roles=has_roles), "add"):
        mask = dataset.masks.get(path)
        if mask is not None:
            store.keep(mask, sha256_of(mask))
        origin = FromFolder(folder=folder.resolve().name, path=path.relative_to(folder).as_posix(), role=role)
        picture = store.take(path)
        _note(store, Claim(picture=picture.sha256, label=label, mask=_hash(mask), origin=origin), added)


def _labelled(dataset: Dataset, *, has_roles: bool) -> list[tuple[Path, str, Role | None]]:
    """MVTec AD's layout names the roles, plain folders leave them open."""
    train: Role | None = "train" if has_roles else None
    test: Role | None = "test" if has_roles else None
    found = [(path, GOOD, train) for path in dataset.train_good]
    found += [(path, GOOD, test) for path in dataset.test_good]
    found += [(path, kind, test) for kind, paths in dataset.defects.items() for path in paths]
    return found


def _hash(path: Path | None) -> str | None:
    return None if path is None else sha256_of(path)


def _add_box(store: DatasetStore, box: str, folder: Path, added: Added) -> None:
    parts = sorted(path for path in (folder / REVIEW).glob("*/*") if path.is_dir() and not path.name.startswith("."))
    for part in progress(parts, f"add {box}"):
        for answer in answers_in(part):
            _add_answer(store, box, folder, answer, added)


def _add_answer(store: DatasetStore, box: str, folder: Path, answer: Review, added: Added) -> None:
    picture = folder / EVIDENCE / f"{answer.part}.png"
    if not picture.is_file():
        added.n_lost += 1
        return
    taken = store.take(picture)
    if taken.sha256 != answer.picture_sha256:
        raise DatasetError(f"{picture}: not the picture that {answer.by} looked at; pull it from {box} again")
    _note(store, Claim(picture=taken.sha256, label=_label(answer), origin=_origin(box, answer)), added)


def _label(answer: Review) -> str | None:
    return (answer.kind or UNNAMED) if answer.truth == "defect" else answer.truth


def _origin(box: str, answer: Review) -> FromReview:
    verdict = answer.verdict
    return FromReview(
        box=box,
        part=answer.part,
        said=answer.said,
        by=answer.by,
        at=answer.at,
        note=answer.note,
        outcome=verdict.outcome,
        score=verdict.score,
        threshold=verdict.threshold,
        bundle=verdict.bundle,
        asked_for=verdict.asked_for,
    )


def _note(store: DatasetStore, claim: Claim, added: Added) -> None:
    if store.claim(claim):
        added.n_new += 1
        added.by_label[claim.label or "answers that name nothing"] += 1
    else:
        added.n_known += 1
