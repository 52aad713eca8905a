"""Rows under headings, as text. And sizes and ages as people read them."""

from collections.abc import Iterator, Sequence


def lines_of(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they must be, the last one as long as it is."""
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings) - 1)]
    for row in (headings, *rows):
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()


def size(count: float) -> str:
    """Bytes, such as `11.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def age(seconds: float) -> str:
    """Such as `3 s ago`."""
    if seconds < 0:
        return "ahead of its clock"
    for unit, length_s in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 100 * length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"
