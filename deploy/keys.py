"""Makes the keys that bundles are signed with, at the workstation.

DIR/NAME.key         the secret; it stays here, and whoever has it signs for this plant
DIR/trust/NAME.pub   its public half with the last day of its trust: goes to every box
"""

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from models.errors import ConfigError, MekikiError
from models.files import make_folder, sync
from models.trust import PUBLIC

SECRET, TRUST = ".key", "trust"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Pair:
    """Where the halves of a key lie."""

    secret: Path
    public: Path


def make_key(folder: Path, name: str, until: date, compatible: Sequence[str] = ()) -> Pair:
    """Makes one more key in the folder. Raises MekikiError where there is one of that name: nothing is overwritten."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r:.70}: letters, digits, '_', '.' and '-' were wanted")
    pair = Pair(folder / f"{name}{SECRET}", folder / TRUST / f"{name}{PUBLIC}")
    for path in (pair.secret, pair.public):
        if path.exists() or path.is_symlink():
            raise MekikiError(f"{path}: is there already; choose another name: a new key wants one, a lost one too")
    _make_folders(folder)
    secret, public = _create()
    head = _head(name, until, compatible)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _write(Path(temporary) / pair.public.name, head.encode() + public, 0o644).rename(pair.public)
        _write(Path(temporary) / pair.secret.name, secret, 0o600).rename(pair.secret)  # last: with it the key is whole
    sync(pair.secret.parent)
    sync(pair.public.parent)
    return pair


def _make_folders(folder: Path) -> None:
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise ConfigError(f"{folder}: others can look into it; chmod 700 {folder}, or give --out a new folder")
    make_folder(folder / TRUST)
    (folder / TRUST).chmod(0o755)  # as it shall be on a box


def _create() -> tuple[bytes, bytes]:
    """A secret and its public half, PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public


def _head(name: str, until: date, compatible: Sequence[str]) -> str:
    products = ", ".join(f'"{product}"' for product in compatible)
    return (
        f"# A machine that has this file in its folder of trusted keys takes bundles signed with {name}{SECRET}.\n"
        "# Delete it there to end that at once.\n"
        f"trusted_until = {until.isoformat()}\n" + (f"compatible = [{products}]\n" if products else "")
    )


def _write(path: Path, content: bytes, mode: int) -> Path:
    """With its mode from the first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)  # whatever the umask took away
    return path
