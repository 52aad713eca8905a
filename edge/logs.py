"""The daemon's log on stderr. Where that is systemd's journal, in the journal's own form: it knows the time itself."""

import logging
import os
import sys

_LEVELS = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))  # sd-daemon(3)
_LINE = "%(threadName)s: %(message)s"


class JournalFormatter(logging.Formatter):
    """A line begins with its level, so that `journalctl --priority warning` finds it."""

    def format(self, record: logging.LogRecord) -> str:
        """Each line of a traceback is an entry of its own."""
        level = next(number for least, number in _LEVELS if record.levelno >= least)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to_stderr() -> None:
    """From INFO on, for the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter(f"%(asctime)s %(levelname)s {_LINE}")
    handler.setFormatter(JournalFormatter(_LINE) if _is_journal() else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _is_journal() -> bool:
    """Systemd names the stream's device and inode: a shell that inherited the name has another stderr."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (AttributeError, ValueError, OSError):  # closed, or none
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
