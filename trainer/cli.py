"""`mekiki-train`: fits models, measures them, renders parts to try it on."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from models.command import DONE, Parser, positive_int, run_command, sub_parser, top_parser
from models.errors import ConfigError

MAX_SIDE_PX = 4096  # above it the bank's patches do not fit into memory
_FIT = "mekiki-train fit --family anomaly --data screws/ --out screws.bundle"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `mekiki-train` and returns its exit code."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """All sub-commands, each with its help and an example."""
    parser = top_parser("mekiki-train", "Turns a few images of good parts into a model, and measures it.", _FIT)
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_fit(subs)
    _add_evaluate(subs)
    _add_render(subs)
    _add_pretrain(subs)
    return parser


def _add_fit(subs: object) -> None:
    fit = sub_parser(subs, "fit", _fit, "Learn from good images, measure, and write a bundle.", _FIT)
    fit.add_argument("--family", required=True, choices=["anomaly"], help="what kind of model")
    fit.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="MVTec AD layout, or good/ and a folder per defect"
    )
    fit.add_argument(
        "--out", required=True, type=Path, metavar="BUNDLE", help="folder to make; pictures go to BUNDLE.report"
    )
    fit.add_argument("--model", default="patchcore", choices=["patchcore"], help="which model of the family")
    fit.add_argument(
        "--backbone", default="resnet18", help="any timm model with layers at strides 8 and 16 (%(default)s)"
    )
    fit.add_argument(
        "--weights", type=Path, metavar="FILE", help=".pth or .safetensors; else cache, hub, starter, untrained"
    )
    fit.add_argument(
        "--allow-hub", action="store_true", help="download the backbone's weights if nothing local has them"
    )
    fit.add_argument(
        "--image-size", type=_side_px, metavar="PX", help="longer side the network sees (chosen from the data)"
    )
    fit.add_argument(
        "--cycle-time",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="seconds for each part on this machine (%(default)s)",
    )
    fit.add_argument("--bank", type=positive_int, default=10_000, metavar="N", help="vectors to keep (%(default)s)")
    fit.add_argument(
        "--augment",
        default="auto",
        choices=["auto", "on", "off"],
        help="turned views in the bank (%(default)s: if poses vary)",
    )
    fit.add_argument(
        "--policy", default="auto", choices=["auto", "recall_1", "normal_quantile"], help="how the threshold is put"
    )
    fit.add_argument("--limit", type=positive_int, metavar="N", help="learn from the first N good images by name")
    fit.add_argument("--seed", type=_seed, default=0, metavar="N", help="same seed, same bundle (%(default)s)")


def _add_evaluate(subs: object) -> None:
    example = "mekiki-train evaluate screws.bundle --data screws/ --defects scratch_neck --json"
    evaluate = sub_parser(subs, "evaluate", _evaluate, "Measure a bundle on labelled test images.", example)
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `fit` wrote")
    evaluate.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with good parts and defects")
    evaluate.add_argument("--defects", default="", metavar="NAME,...", help="only these kinds of defect (all)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_render(subs: object) -> None:
    example = "mekiki-train render --out screws/ --good 20"
    render = sub_parser(
        subs, "render", _render, "Render synthetic screws, good and scratched, to try things on.", example
    )
    render.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make, in MVTec AD's layout")
    render.add_argument("--good", type=int, default=20, metavar="N", help="images in train/good (%(default)s)")
    render.add_argument("--test-good", type=int, default=0, metavar="N", help="images in test/good (%(default)s)")
    render.add_argument(
        "--scratched", type=int, default=0, metavar="N", help="images in test/scratch_neck (%(default)s)"
    )
    render.add_argument("--image-size", type=positive_int, default=1024, metavar="PX", help="side (%(default)s)")
    render.add_argument("--seed", type=_seed, default=0, metavar="N", help="same seed, same screws (%(default)s)")


def _add_pretrain(subs: object) -> None:
    example = "mekiki-train pretrain --out starter.pth --steps 1600"
    pretrain = sub_parser(subs, "pretrain", _pretrain, "Train ResNet18 weights on generated images only.", example)
    pretrain.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="weights to write; goes on where it stopped"
    )
    pretrain.add_argument("--start", type=Path, metavar="FILE", help="go on from the weights of a former round")
    pretrain.add_argument("--steps", type=positive_int, default=1600, metavar="N", help="of 32 crops (%(default)s)")
    pretrain.add_argument("--seed", type=_seed, default=0, metavar="N", help="same seed, same crops (%(default)s)")


def _fit(arguments: argparse.Namespace) -> int:
    from trainer.fit import fit
    from trainer.options import FitOptions

    chosen = {
        name: value for name, value in vars(arguments).items() if name not in ("run", "family", "model", "cycle_time")
    }
    fit(FitOptions(cycle_time_s=arguments.cycle_time, **chosen), lambda line: print(line, flush=True))
    return DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    from models.bundle import open_bundle
    from trainer.dataset import scan
    from trainer.evaluate import evaluate, in_words

    names = [name for name in arguments.defects.split(",") if name]
    found = evaluate(open_bundle(arguments.bundle), scan(arguments.data), names)
    print(json.dumps(found, indent=2) if arguments.json else in_words(found))
    return DONE


def _render(arguments: argparse.Namespace) -> int:
    from trainer.progress import progress
    from trainer.synth import write_dataset

    try:
        write_dataset(
            arguments.out,
            train_good=arguments.good,
            test_good=arguments.test_good,
            test_defect=arguments.scratched,
            seed=arguments.seed,
            size_px=arguments.image_size,
            progress=lambda items: progress(items, "render"),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(f"rendered: {arguments.out}")
    return DONE


def _pretrain(arguments: argparse.Namespace) -> int:
    from trainer.pretrain import POOL_PARTS, POOL_SURFACES, render_pool, train

    pool = render_pool(POOL_PARTS, POOL_SURFACES, arguments.seed)
    train(pool, arguments.out, steps=arguments.steps, batch=32, seed=arguments.seed, start=arguments.start)
    print(f"weights: {arguments.out}")
    return DONE


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text}: seconds above 0 were wanted, without a unit, such as 0.5")
    return value


def _side_px(text: str) -> int:
    value = _number(text)
    if not (0 < value <= MAX_SIDE_PX and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: 1 to {MAX_SIDE_PX} pixels were wanted, such as 384")
    return int(value)


def _seed(text: str) -> int:
    value = _number(text)
    if not (0 <= value < 2**32 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: a whole number of 0 or more was wanted")
    return int(value)


def _number(text: str) -> float:
    """NaN, which no bound holds, for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


if __name__ == "__main__":
    raise SystemExit(main())
