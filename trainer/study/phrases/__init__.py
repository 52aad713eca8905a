"""The sentences of a recommendation, in the language of whoever reads it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trainer.study.types import Interval

Lang = Literal["en", "ja"]
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences by their keys, and what a condition is called."""

    texts: Mapping[str, str]
    title: Callable[[str], str] = str

    @classmethod
    def of(cls, lang: Lang, title: Callable[[str], str] = str) -> Phrases:
        """Those of one language."""
        return cls(tomllib.loads((_HERE / f"{lang}.toml").read_text(encoding="utf-8")), title)

    def __call__(self, key: str, **told: str | float) -> str:
        """The sentence with what is to be told in its places."""
        return self.texts[key].format(**told)

    def interval(self, figure: Interval) -> str:
        """A figure and how sure it is."""
        return self("interval", value=figure.value, low=figure.low, high=figure.high)

    def listed(self, parts: Sequence[str]) -> str:
        """One after another."""
        if len(parts) == 1:
            return parts[0]
        last = self.texts["last_of_two" if len(parts) == 2 else "last_of_more"]
        return self.texts["comma"].join(parts[:-1]) + last + parts[-1]
