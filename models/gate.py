"""Whose bundles this machine takes: those of the keys in a folder; without a folder anybody's.

The one place where a signature is verified. It reads the folder at every look: a key that is added counts, and
one that is deleted does not, without a restart.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import SIGNATURE, Bundle
from models.errors import UntrustedError
from models.manifest import Manifest
from models.rules import Rules, refuse_older, refuse_other_product
from models.signature import MAX_SIGNATURE_BYTES, parse_signature
from models.trust import TrustedKey, load_trust

if TYPE_CHECKING:
    from model_signing import hashing


def _now() -> datetime:
    return datetime.now(UTC)


class Gate:
    """Lets a bundle pass or raises BundleError with the reason; ConfigError when the folder is not in order."""

    def __init__(self, trust: Path | None = None, now: Callable[[], datetime] = _now) -> None:
        self.trust, self.now = trust, now

    def verify(self, bundle: Bundle, path: Path | None = None) -> TrustedKey | None:
        """Who signed it, proved; None without a folder of keys. The signature is its own unless `path` is given.

        A key whose trust has ended still counts here: what it signed while it was trusted runs on.
        """
        if self.trust is None:
            return None
        rules, path = Rules(load_trust(self.trust)), path or bundle.path / SIGNATURE
        signature = parse_signature(_read(path), str(path))
        key = rules.signer(bundle, signature)
        rules.refuse_uncovered(bundle, signature)
        _prove(bundle, path, key)
        return key

    @property
    def stamp(self) -> int:
        """Changes when a key comes, goes or is mended."""
        try:
            files = () if self.trust is None else (self.trust, *sorted(self.trust.iterdir()))
            return hash(tuple((file.name, file.stat().st_ino, file.stat().st_ctime_ns) for file in files))
        except OSError:
            return 0

    def take_in(self, bundle: Bundle) -> TrustedKey | None:
        """The same of a bundle that comes to this machine: its signer must be trusted today, and for its product."""
        key = self.verify(bundle)
        if key is not None:
            Rules.refuse_ended(bundle, key, self.now())
            Rules.refuse_of_tomorrow(bundle, self.now())
            Rules.refuse_unfit_signer(bundle, key)
        return key

    def put_in_force(self, bundle: Bundle, active: Manifest | None, because: str | None) -> TrustedKey | None:
        """The same of a bundle that shall follow `active`. An older one wants a reason."""
        key = self.take_in(bundle)
        refuse_other_product(bundle, active)
        refuse_older(bundle, active, because)
        return key


def covered() -> "hashing.Config":
    """What a signature covers: every file of the folder but itself."""
    from model_signing.hashing import Config

    return Config().use_file_serialization().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UntrustedError(
            f"{path}: missing, this machine takes signed bundles only; `mekiki-deploy sign` the bundle"
        )
    if path.stat().st_size > MAX_SIGNATURE_BYTES:
        raise UntrustedError(
            f"{path}: over {MAX_SIGNATURE_BYTES} bytes; this is not a signature: sign the bundle again"
        )
    return path.read_bytes()


def _prove(bundle: Bundle, path: Path, key: TrustedKey) -> None:
    """The mathematics, and every file's hash once more, by the library that anybody else would use."""
    from model_signing.verifying import Config

    try:
        config = Config().use_elliptic_key_verifier(public_key=key.path).set_hashing_config(covered())
        config.verify(bundle.path, path)
    except Exception as error:  # whatever a hostile file makes the library raise, it is refused
        what = " ".join(str(error).split())[:200] or "the signature is wrong"
        raise UntrustedError(
            f"{path}: not made with {key.name} for these files ({what}); "
            "sign the bundle again, or push the one that was signed"
        ) from error
