"""Secrets of the box: files that systemd hands over (LoadCredential=), else files beside the settings."""

import os
from pathlib import Path

from models.errors import ConfigError

_PREFIX = "secret_"  # the unit loads a folder as `secret`, and systemd joins the two names


def secret_file(path: Path) -> Path:
    """Where the secret lies that the settings call `path`: the one handed over under its name wins."""
    return handed_over(path.name) or path


def handed_over(name: str) -> Path | None:
    """The credential of that name. Systemd keeps others from it, whatever its mode shows."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / f"{_PREFIX}{name}" if folder else None
    return path if path is not None and path.is_file() else None


def read_login(path: Path) -> tuple[str, str]:
    """User and password from a file that holds `user:password`. Raises ConfigError, which never shows them."""
    file = secret_file(path)
    try:
        user, colon, password = file.read_text(encoding="utf-8").strip().partition(":")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{file}: a login cannot be read ({why}); see its path and its owner") from error
    if not user or not colon or "\n" in password:
        raise ConfigError(f"{file}: one line `user:password` was wanted; correct it")
    return user, password
