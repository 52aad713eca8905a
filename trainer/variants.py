"""Further precisions of a fit: each has its own graph, scored, with its own threshold and proof of parity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import MODEL_XML
from models.errors import ModelError
from models.manifest import BoxParity, Decoder, Parity, Precision, Quantization, Threshold
from models.precision import refuse_unable
from models.runner import Runner
from models.variant import arithmetic_of
from trainer.decisions import Told
from trainer.evaluate import Scored
from trainer.export import VariantRecipe, save_ir
from trainer.quantize import Calibration, Say, Tried, decides, quantized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openvino as ov

Proof = tuple[Threshold, Parity | BoxParity]
_Asked = tuple["ov.Model", list[Scored]]  # a graph and what it says of the calibration split


def refuse_unable_here(precisions: Sequence[Precision]) -> None:
    """Raises ModelError where this machine does not compute one of them: nothing could be measured at it."""
    for precision in precisions:
        refuse_unable("CPU", arithmetic_of(precision))


def proven(  # noqa: PLR0913, PLR0917
    graph: ov.Model,
    precision: Precision,
    run: Callable[[Path], Runner],
    prove: Callable[[Runner], Proof],
    say: Say,
    quantization: Quantization | None = None,
) -> VariantRecipe | None:
    """The variant with the threshold and parity that `prove` finds on its IR, which `run` runs.

    None, which is said, where that fails: the fit stands without it.
    """
    try:
        with saved(graph) as path:
            threshold, parity = prove(run(path))
    except ModelError as error:
        say(f"WARNING: {precision} is left out: {error}")
        return None
    return VariantRecipe(graph, precision, threshold, parity, quantization=quantization)


@contextmanager
def saved(graph: ov.Model) -> Iterator[Path]:
    """The IR as files, for a while."""
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        save_ir(graph, Path(work) / MODEL_XML)
        yield Path(work) / MODEL_XML


def variants_of(  # noqa: PLR0913, PLR0917
    precisions: Sequence[Precision],
    graph: ov.Model,
    decoder: Decoder,
    calibration: Callable[[], Calibration],
    scored: Sequence[Scored],
    score: Callable[[Runner], list[Scored]],
    prove: Callable[[Runner, list[Scored], Say], Proof],
    say: Say,
    never: Sequence[str] = (),
) -> list[VariantRecipe]:
    """Of a network whose graph is the same at each precision, but for the layers that int8 has quantised.

    `scored` is what `graph` says at f32 of the calibration split, which holds good images and defects, and `score`
    what another runner does: each graph is asked once. `prove` puts the threshold on these scores. The layers in
    `never` are not quantised.
    """

    def tried(one: ov.Model, precision: Precision) -> Tried[_Asked]:
        with saved(one) as path:
            found = score(Runner(path, decoder, precision))
        return Tried((one, found), _told(found))

    def variant(precision: Precision, say: Say) -> VariantRecipe | None:
        record: Quantization | None = None
        if precision == "int8":
            made = quantized(graph, calibration(), lambda one: tried(one, "int8"), before, say, never)
            if made is None:
                return None
            (one, found), record = made
        else:
            other = tried(graph, precision)
            if not decides(precision, before, other.told, say):
                return None
            one, found = other.made
        return proven(
            one,
            precision,
            lambda path: Runner(path, decoder, precision),
            lambda runner: prove(runner, found, say),
            say,
            record,
        )

    before = _told(scored)
    made = (variant(name, at(name, say)) for name in precisions)
    return [one for one in made if one is not None]


def _told(scored: Sequence[Scored]) -> Told:
    good, bad = ([item.score for item in scored if (item.label == "good") is flag] for flag in (True, False))
    return Told(good, bad)


def at(precision: Precision, say: Say) -> Say:
    """Says of which precision it speaks."""
    return lambda text: say(f"{precision}: {text.removeprefix(f'{precision}: ')}")
