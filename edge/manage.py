"""`mekiki-edge model`: brings versions into force on this box, and takes them back. On the caller's thread.

The daemon need not run; where it does, it follows the store, and has the last word on a version on probation.
"""

from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from edge.config import Settings
from edge.qualified import budget_of, cache_of, figure_words, wanted_precisions
from edge.qualify import How, qualify
from edge.record import Trial, fastest, read_record, write_record
from edge.startup import model_path
from models.bundle import Bundle, open_bundle
from models.device import find_device
from models.errors import BundleError, ConfigError, ModelError
from models.gate import Gate
from models.state import State
from models.store import Store

Say = Callable[[str], None]


class Place:
    """One store of the box, with the cameras that are judged by it."""

    def __init__(self, settings: Settings, camera: str | None = None) -> None:
        """That of a camera, or the only one there is. Raises ConfigError where that is no store, or not clear."""
        self.settings = settings
        self.store = Store(_root(settings, camera), Gate(settings.trust))
        cameras = [one.name for one in settings.camera if model_path(settings, one) == (self.store.root, True)]
        self.budget_s = budget_of(settings, cameras)

    def install(
        self, source: Path, because: str | None, say: Say, *, activate: bool = True, at_once: bool = False
    ) -> None:
        """Verifies, stages and qualifies a bundle, and puts it in force on probation. Raises MekikiError.

        Where the settings hold versions back while the line runs it waits for its stop, unless `at_once`. Whatever is
        refused, the active version stays; what is not even a bundle that is taken here is not copied.
        """
        staged = self._stage(source, say, lambda bundle: self.store.admit(bundle, because) if activate else None)
        self._qualify(staged, say)
        if activate:
            self._activate(staged.digest, because, say, at_once=at_once)

    def activate(self, start: str, because: str | None, say: Say, *, at_once: bool = False) -> None:
        """The same of a version that lies there, by the first characters of its digest."""
        bundle = self.store.open(self.store.find(start))
        self.store.admit(bundle, because)
        self._qualify(bundle, say)
        self._activate(bundle.digest, because, say, at_once=at_once)

    def shadow(self, what: str, say: Say) -> None:
        """A bundle, or a version that lies here, judges beside the active one. Raises MekikiError.

        It is verified, staged and tried on this device as by `install`; an older one may look on too.
        """
        source = Path(what)
        bundle = self._stage(source, say) if source.is_dir() else self.store.open(self.store.find(what))
        self._qualify(bundle, say)
        say(f"shadow {self.store.shadow(bundle.digest).digest[:12]}; see `mekiki-edge shadow report`")

    def end_shadow(self, say: Say) -> None:
        """No version judges beside the active one any more."""
        digest = self.store.state().shadow
        if digest is None:
            raise BundleError(f"{self.store.root}: no version judges beside the active one; nothing to stop")
        self.store.end_shadow(digest)
        say(f"shadow of {digest[:12]} ended")

    def rollback(self, why: str | None, say: Say) -> None:
        """Back to the version before, without another look at the device: it judged there."""
        say(f"active {self.store.rollback(why).digest[:12]}")

    def list(self, say: Say) -> None:
        """A line for each version: its digest, what it is in the store, and what it is."""
        state = self.store.state()
        digests = {*self.store.versions(), *filter(None, (state.active, state.previous))}
        if not digests:
            raise BundleError(f"{self.store.root}: no versions; `mekiki-edge model install BUNDLE` first")
        for digest in sorted(digests):
            say(f"{digest[:12]}  {_role(state, digest):<9}  {self._about(digest)}")

    def history(self, say: Say) -> None:
        """A line for each step, the oldest first."""
        for event in self.store.state().history:
            why = f": {event.why}" if event.why else ""
            say(f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC  {event.step:<12}  {event.version[:12]}{why}")

    def _stage(self, source: Path, say: Say, admit: Callable[[Bundle], None] = lambda _: None) -> Bundle:
        bundle = open_bundle(source)
        say(f"verified {bundle.digest[:12]}{self._by(bundle)}")
        admit(bundle)
        staged = self.store.add(source)
        say(f"staged in {self.store.root}")
        return staged

    def _qualify(self, bundle: Bundle, say: Say) -> None:
        settings = self.settings
        find_device(settings.device)  # where it is not there that is no finding about the bundle
        how = How(hint=settings.inference.hint, budget_s=self.budget_s, cache=cache_of(settings))
        trials = qualify(bundle, [settings.device], wanted_precisions(bundle, settings), how)
        write_record(settings.state, read_record(settings.state, bundle.digest).with_trials(trials))
        chosen = fastest([one for one in trials if one.finding == "qualified"])
        if chosen is None:
            why = "; ".join(f"{one.name}: {one.why}" for one in trials)
            self.store.refuse(bundle.digest, why)
            raise ModelError(f"{bundle.path}: not qualified on this box: {why}")
        words = _words(chosen, [one for one in trials if one is not chosen])
        self.store.note("qualified", bundle.digest, words)
        say(f"qualified on {words}")

    def _activate(self, digest: str, because: str | None, say: Say, *, at_once: bool) -> None:
        holds = self.settings.activation.hold == "running" and not at_once
        if holds and self.store.state().active not in (None, digest):
            self.store.hold(digest, because)
            say(f"waiting {digest[:12]}, in force when the line stops (`mekiki-edge line stopped`)")
            return
        self.store.activate(digest, because, on_probation=self.settings.probation.parts > 0)
        parts = f", on probation for {self.settings.probation.parts} parts" if self.store.state().on_probation else ""
        say(f"active {digest[:12]}{parts}")

    def _by(self, bundle: Bundle) -> str:
        key = self.store.gate.verify(bundle)
        return ", nobody's signature was asked for" if key is None else f", signed by {key.name}"

    def _about(self, digest: str) -> str:
        try:
            manifest = self.store.open(digest).manifest
        except BundleError as error:
            return f"REFUSED: {' '.join(str(error).split())}"
        return f"{manifest.family}/{manifest.model}  {manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _words(chosen: Trial, others: list[Trial]) -> str:
    """How it came out, such as "CPU at bf16, 2 golden images, 9.8 ms of 200 ms; CPU at f32 20.1 ms"."""
    took_s = chosen.figures.p90_s if chosen.figures else 0.0
    budget = "" if chosen.budget_s is None else f" of {chosen.budget_s * 1e3:.0f} ms"
    words = f"{chosen.name}, {chosen.golden_images} golden images, {took_s * 1e3:.1f} ms{budget}"
    return "; ".join([words, *map(figure_words, others)])


def _role(state: State, digest: str) -> str:
    if digest == state.active:
        return "probation" if state.on_probation else "active"
    if state.waiting is not None and digest == state.waiting.version:
        return "waiting"
    if digest == state.shadow:
        return "shadow"
    if digest == state.previous:
        return "previous"
    return "failed" if digest in state.failed else "stored"


def _root(settings: Settings, camera: str | None) -> Path:
    known = [one.name for one in settings.camera]
    if camera is not None and camera not in known:
        raise ConfigError(f"--camera {camera}: this box has {', '.join(known)}; name one of these")
    wanted = [one for one in settings.camera if camera in (None, one.name)]
    roots = sorted({path for path, is_store in (model_path(settings, one) for one in wanted) if is_store})
    if not roots:
        raise ConfigError("no store is set, a bundle of the settings file is not changed from here; set `store`")
    if len(roots) > 1:
        raise ConfigError(f"{len(roots)} stores are set: {', '.join(map(str, roots))}; say which with --camera NAME")
    return roots[0]
