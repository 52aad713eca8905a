"""One look for every progress bar: silent below two seconds, silent where no person looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def progress(items: Iterable[Any] | None, what: str, *, unit: str = "image", total: int | None = None) -> Any:
    """`items` (or None, to call `update` by hand) with a bar on stderr: `what`, the rate and the time left.

    Returned is tqdm's own bar, so that a caller may add a figure with `set_postfix`.
    """
    from tqdm import tqdm

    return tqdm(
        items,
        desc=f"{what:<14}",
        unit=unit,
        total=total,
        delay=2,
        file=sys.stderr,
        disable=None,
        leave=False,
        dynamic_ncols=True,
    )
