"""The four studies of `make study`, each as the `mekiki-train compare` that a person could type.

few: 5 good parts and 5 defects to test, four conditions, each learned under it, as it was published.
all: every part that was not learned from, all eight conditions, also learned without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trainer.conditions import DISTURBANCES
from trainer.original.published import N_BOXED, N_GOOD, N_TEST, Model

Tests = Literal["few", "all"]
MODELS: Final[tuple[Model, ...]] = ("patchcore", "rtmdet")  # the quick one first
_OWN: Final = Path(__file__).parent / "candidates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person may choose."""

    data: Path
    out: Path
    defects: str = "scratch_neck"
    only: Model | None = None
    quick: bool = False
    patchcore: Path | None = None  # candidates in place of mekiki's own
    rtmdet: Path | None = None
    splits: int = 1
    seed: int = 0
    jobs: int | None = None
    lang: Literal["en", "ja"] = "en"

    def candidates(self, model: Model) -> Path:
        """The file that says which they are."""
        given = self.patchcore if model == "patchcore" else self.rtmdet
        return given or _OWN / f"{model}{'-quick' if self.quick else ''}.toml"


@dataclass(frozen=True, slots=True)
class Part:
    """One study."""

    model: Model
    tests: Tests

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.model}-{self.tests}"

    def arguments(self, asked: Asked) -> list[str]:
        """Of `mekiki-train`. Both studies of a model learn from the same pictures, and share what they learned."""
        found = ["compare", "--data", str(asked.data), "--candidates", str(asked.candidates(self.model))]
        found += ["--out", str(asked.out / self.name), "--work", str(asked.out / "work")]
        found += ["--defects", asked.defects, "--limit", str(N_GOOD)]
        if self.model == "rtmdet":
            found += ["--learn-defects", str(N_BOXED)]
        if self.tests == "few":
            found += ["--test-good", str(N_TEST), "--test-defects", str(N_TEST)]
            found += ["--conditions", ",".join(DISTURBANCES), "--protocols", "matched"]
        found += ["--splits", str(asked.splits), "--seed", str(asked.seed), "--lang", asked.lang]
        return found + (["--jobs", str(asked.jobs)] if asked.jobs else [])


def parts_of(asked: Asked) -> tuple[Part, ...]:
    """In the order in which they are made."""
    models = [model for model in MODELS if asked.only in (None, model)]
    return tuple(Part(model, tests) for model in models for tests in ("few", "all"))
