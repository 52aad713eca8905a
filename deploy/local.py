"""`mekiki-deploy push`, `status` and `rollback` in a store of this machine, without a box and without a probation."""

from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from models.bundle import Bundle, open_bundle
from models.errors import BundleError, UntrustedError
from models.store import Store

Say = Callable[[str], None]


def push(store: Store, source: Path, older: str | None, say: Say, *, activate: bool) -> None:
    """Verifies a bundle, copies it and puts it in force. Raises BundleError; then nothing has changed."""
    if activate:
        store.admit(open_bundle(source), older)  # before anything is copied
    bundle = store.add(source)
    if activate:
        store.activate(bundle.digest, older)
    say(f"{'active' if activate else 'stored'} {bundle.digest[:12]} in {store.root}{_by(store, bundle)}")


def show_status(store: Store, say: Say) -> None:
    """A line for each version. Raises BundleError where there is none, or, after all lines, where one is damaged."""
    state, damaged = store.state(), None
    digests = {*store.versions(), *filter(None, (state.active, state.previous))}
    if not digests:
        raise BundleError(f"{store.root}: no versions; `mekiki-deploy push BUNDLE --to {store.root}` first")
    for digest in sorted(digests):
        role = {state.previous: "previous", state.active: "active"}.get(digest, "stored")
        try:
            about = _about(store, store.open(digest))
        except BundleError as error:
            about, damaged = "UNTRUSTED" if isinstance(error, UntrustedError) else "DAMAGED", error
        say(f"{digest[:12]}  {role:<8}  {about}")
    if state.because is not None:
        say(f"older than the version before it: {state.because}")
    if damaged:
        raise damaged


def roll_back(store: Store, because: str | None, say: Say) -> None:
    """Puts the version before in force again."""
    bundle = store.rollback(because)
    say(f"active {bundle.digest[:12]} in {store.root}{_by(store, bundle)}")


def _by(store: Store, bundle: Bundle) -> str:
    key = store.gate.verify(bundle)
    return "" if key is None else f", signed by {key.name}"


def _about(store: Store, bundle: Bundle) -> str:
    manifest = bundle.manifest
    product = "" if manifest.compatible is None else f" for {manifest.compatible}"
    made = f"{manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{manifest.family}/{manifest.model}{product}  {made}{_by(store, bundle)}"
