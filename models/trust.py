"""The keys whose bundles a machine takes: a folder with one file for each.

TRUST/NAME.pub    until when it is trusted, for which products, and the public key

`mekiki-deploy keys` makes such files. One more file is one more key, so that the next key is trusted before the
last one ends; a file that is deleted is a key that is trusted no more, from the next look on. The head of a file
is TOML, what follows is PEM, whose readers skip a head: every other tool reads the file as the public key it is.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from models.base import Frozen, first_error
from models.errors import ConfigError
from models.manifest import Product

PUBLIC = ".pub"
_BEGIN = b"-----BEGIN "
_MAX_BYTES = 64 << 10
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class Head(Frozen):
    """What stands before the key."""

    trusted_until: date  # its last day, by UTC
    compatible: tuple[Product, ...] | None = Field(default=None, min_length=1)  # absent: any product


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One key of the folder."""

    name: str
    path: Path
    fingerprint: str  # as a signature names it
    head: Head

    def is_trusted_at(self, now: datetime) -> bool:
        """Whether its last day is not over. `now` has a time zone."""
        return now < self.ends_at

    @property
    def ends_at(self) -> datetime:
        """The first moment at which it is trusted no more."""
        return datetime.combine(self.head.trusted_until, time(), UTC) + timedelta(days=1)


def load_trust(folder: Path) -> tuple[TrustedKey, ...]:
    """Every key of the folder, by name.

    Raises ConfigError when the folder is missing or empty, everybody may write to it, it holds a private key,
    or a file in it is not a key of ours: with a doubt about one key none is trusted.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of trusted keys; copy the one that `mekiki-deploy keys` made")
    _refuse_writable(folder)
    keys = tuple(_load(path) for path in sorted(folder.iterdir()) if _is_key(path))
    if not keys:
        raise ConfigError(f"{folder}: no trusted key ({PUBLIC}) in it; copy one that `mekiki-deploy keys` made")
    seen: dict[str, TrustedKey] = {}
    for key in keys:
        if (other := seen.setdefault(key.fingerprint, key)) is not key:
            raise ConfigError(f"{key.path}: the same key as {other.path.name}; delete one of the two")
    return keys


def fingerprint_of(pem: bytes) -> str:
    """What a signature names a public key by: sha256 of its PEM text. Raises ValueError when it is none of ours."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ValueError("an elliptic key on P-256, P-384 or P-521 was wanted")
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _is_key(path: Path) -> bool:
    """Other files may lie there, but no secret."""
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return path.suffix == PUBLIC
    _refuse_writable(path)
    if b"PRIVATE KEY-----" in path.read_bytes():
        raise ConfigError(f"{path}: a private key; it belongs to who signs: delete it here")
    return path.suffix == PUBLIC


def _refuse_writable(path: Path) -> None:
    if path.stat().st_mode & 0o002:
        raise ConfigError(f"{path}: everybody may write to it, and so add a key; chmod o-w {path}")


def _load(path: Path) -> TrustedKey:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"over {_MAX_BYTES} bytes")
        head, begin, rest = path.read_bytes().partition(_BEGIN)
        fields = Head.model_validate(tomllib.loads(head.decode()))
        return TrustedKey(path.stem, path, fingerprint_of(begin + rest), fields)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_error(error)}; take the file that `mekiki-deploy keys` made") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); fix its owner and mode") from error
    except ValueError as error:  # not UTF-8, not TOML, not PEM
        raise ConfigError(f"{path}: not a trusted key ({str(error)[:100]}); copy it again or delete it") from error
