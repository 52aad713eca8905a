"""Where the data for development and benchmarks lies, on machines that have it."""

import os
from pathlib import Path


def find_shared() -> Path | None:
    """`MEKIKI_SHARED`, else `../shared` beside the checkout, else None."""
    named = os.environ.get("MEKIKI_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    return folder if (folder / "data").is_dir() else None
