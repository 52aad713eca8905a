"""The name of a start of the daemon: UTC to the microsecond, so that later ones sort after earlier ones."""

from datetime import UTC, datetime, timedelta

from edge.journal import Journal

_EPOCH = "%Y%m%dT%H%M%S.%fZ"


def new_epoch(after: str | None = None) -> str:
    """The name of this start. It sorts after `after`, whatever the clock says."""
    now = datetime.now(UTC).strftime(_EPOCH)
    if after is None or now > after:
        return now
    try:
        return (datetime.strptime(after, _EPOCH) + timedelta(microseconds=1)).strftime(_EPOCH)
    except (ValueError, OverflowError):  # no name that this daemon gave
        return now


def next_epoch(journal: Journal) -> str:
    """An epoch after every one in the journal, and remembered there."""
    epoch = new_epoch(journal.newest_epoch())
    journal.begin(epoch)
    return epoch
