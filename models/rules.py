"""What a bundle must be to come into force on this machine. No file, no clock and no cryptography in here.

In the order in which they are asked: who signed it and what that covers; and of what is new here, whether the
signer is still trusted, for this product, and whether it is of today and not older than what is in force.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.bundle import MANIFEST, Bundle
from models.errors import BundleError, UntrustedError
from models.manifest import Manifest
from models.signature import Signature
from models.trust import TrustedKey

_AHEAD = timedelta(days=1)  # clocks of two machines are not the same


@dataclass(frozen=True, slots=True)
class Rules:
    """The keys that this machine trusts. Every method raises BundleError with the reason."""

    keys: Sequence[TrustedKey]

    def signer(self, bundle: Bundle, signature: Signature) -> TrustedKey:
        """Whose the signature claims to be."""
        for key in self.keys:
            if key.fingerprint == signature.fingerprint:
                return key
        names = ", ".join(key.name for key in self.keys)
        raise UntrustedError(
            f"{bundle.path}: signed with key {signature.fingerprint[:12]}, this machine trusts {names}; "
            "sign it with one of these, or bring that key's .pub here"
        )

    @staticmethod
    def refuse_uncovered(bundle: Bundle, signature: Signature) -> None:
        """The signature says of every file what the manifest says, and of nothing else."""
        wanted = {name: file.sha256 for name, file in bundle.manifest.files.items()} | {MANIFEST: bundle.digest}
        for name in sorted(wanted.keys() | signature.files.keys()):
            signed, found = signature.files.get(name), wanted.get(name)
            if signed != found:
                raise UntrustedError(
                    f"{bundle.path / name}: {_words(found)}, the signature says {_words(signed)}; "
                    "sign the bundle again if you know who changed it, else push another"
                )

    @staticmethod
    def refuse_ended(bundle: Bundle, key: TrustedKey, now: datetime) -> None:
        """Nothing new comes in by a key whose trust has ended. What is here already stays."""
        if not key.is_trusted_at(now):
            raise UntrustedError(
                f"{bundle.path}: signed by {key.name}, which was trusted until {key.head.trusted_until}; "
                "sign the bundle with a newer key"
            )

    @staticmethod
    def refuse_of_tomorrow(bundle: Bundle, now: datetime) -> None:
        """One of the two clocks is wrong: by this one keys end, and by that one a newer bundle would be older."""
        if bundle.manifest.created_at > now + _AHEAD:
            raise UntrustedError(
                f"{bundle.path}: made on {_day(bundle.manifest)}, here it is {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC; "
                "set the clock that is wrong"
            )

    @staticmethod
    def refuse_unfit_signer(bundle: Bundle, key: TrustedKey) -> None:
        """A key may be for some products only."""
        allowed, product = key.head.compatible, bundle.manifest.compatible
        if allowed is not None and product not in allowed:
            raise UntrustedError(
                f"{bundle.path}: for {product or 'no named product'}, {key.name} may sign for {', '.join(allowed)}; "
                "push a bundle for one of these (`mekiki-train fit --compatible`)"
            )


def refuse_other_product(bundle: Bundle, active: Manifest | None) -> None:
    """A store stays with the product that it began with. Raises BundleError."""
    if active is not None and active.compatible not in (None, bundle.manifest.compatible):
        raise BundleError(
            f"{bundle.path}: for {bundle.manifest.compatible or 'no named product'}, the active version is for "
            f"{active.compatible}; push it to the store of its own product"
        )


def refuse_older(bundle: Bundle, active: Manifest | None, because: str | None) -> None:
    """Whoever can replay an old bundle could bring back what was mended since. Raises BundleError."""
    if because is None and active is not None and bundle.manifest.created_at < active.created_at:
        raise BundleError(
            f"{bundle.path}: made on {_day(bundle.manifest)}, the active version on {_day(active)}; push a newer one, "
            "or say why an older one with --older REASON"
        )


def _day(manifest: Manifest) -> str:
    return f"{manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _words(sha256: str | None) -> str:
    return "nothing" if sha256 is None else f"sha256 {sha256[:12]}"
