"""`mekiki-train`: fits models, measures them, renders parts to try it on."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from models.command import DONE, Parser, positive_int, run_command, sub_parser, top_parser
from models.errors import ConfigError
from trainer.arguments import length_px, seed, whole
from trainer.compare_command import add_compare
from trainer.conditions_command import add_conditions
from trainer.dataset_command import add_dataset
from trainer.fit_command import EXAMPLE, add_fit
from trainer.render_command import add_render, add_render_parts
from trainer.retrain_command import add_retrain
from trainer.threshold_command import add_threshold


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `mekiki-train` and returns its exit code."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """All sub-commands, each with its help and an example."""
    parser = top_parser("mekiki-train", "Turns a few images of good parts into a model, and measures it.", EXAMPLE)
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_fit(subs)
    _add_evaluate(subs)
    add_threshold(subs)
    _add_boxes(subs)
    add_conditions(subs)
    add_compare(subs)
    add_dataset(subs)
    add_retrain(subs)
    add_render(subs)
    add_render_parts(subs)
    _add_pretrain(subs)
    return parser


def _add_evaluate(subs: object) -> None:
    example = "mekiki-train evaluate screws.bundle --data screws/ --defects scratch_neck --json"
    evaluate = sub_parser(subs, "evaluate", _evaluate, "Measure a bundle on labelled test images.", example)
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `fit` wrote")
    evaluate.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with good parts and defects")
    evaluate.add_argument("--defects", default="", metavar="NAME,...", help="only these kinds of defect (all)")
    evaluate.add_argument(
        "--precision", choices=("f32", "f16", "bf16", "int8"), help="one of those that the bundle holds (its main one)"
    )
    evaluate.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_boxes(subs: object) -> None:
    example = "mekiki-train boxes --data screws/ --out screws.boxes"
    boxes = sub_parser(subs, "boxes", _boxes, "Show how the boxes of a data set were understood.", example)
    boxes.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="images with COCO, Pascal VOC or YOLO boxes, or masks"
    )
    boxes.add_argument(
        "--out", type=Path, metavar="DIR2", help="folder to make, for the pictures with their boxes (DIR.boxes)"
    )
    boxes.add_argument(
        "--merge",
        type=length_px,
        metavar="PX",
        help="parts of a mask nearer than that are one box (2%% of the longer side)",
    )


def _add_pretrain(subs: object) -> None:
    example = "mekiki-train pretrain --task comparing --out trunk.pth"
    pretrain = sub_parser(
        subs, "pretrain", _pretrain, "Train a ResNet18 on made-up parts only: no photograph, no network.", example
    )
    pretrain.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="weights to write; goes on where it stopped"
    )
    pretrain.add_argument(
        "--task",
        default="comparing",
        choices=("kinds", "comparing"),
        help="what is learned: to name painted defects (up to layer3), or to tell damage by its distance from good "
        "parts of its line (up to layer2) (%(default)s)",
    )
    pretrain.add_argument("--start", default="", metavar="FILE", help="go on from the weights of a former round")
    pretrain.add_argument(
        "--pictures", type=positive_int, default=800, metavar="N", help="to crop from, or kinds of part (%(default)s)"
    )
    pretrain.add_argument("--steps", type=positive_int, default=600, metavar="N", help="(%(default)s)")
    pretrain.add_argument(
        "--batch", type=positive_int, default=6, metavar="N", help="crops, or comparisons, a step (%(default)s)"
    )
    pretrain.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same weights (%(default)s)")
    pretrain.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="(%(default)s)")
    pretrain.add_argument(
        "--workers", type=whole, default=0, metavar="N", help="processes that draw, for a GPU (%(default)s)"
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from models.bundle import open_bundle
    from trainer.dataset import scan
    from trainer.evaluate import evaluate, in_words

    names = [name for name in arguments.defects.split(",") if name]
    bundle = open_bundle(arguments.bundle)
    bundle = bundle if arguments.precision is None else bundle.at(arguments.precision)
    found = evaluate(bundle, scan(arguments.data), names)
    print(json.dumps(found, indent=2) if arguments.json else in_words(found))
    return DONE


def _boxes(arguments: argparse.Namespace) -> int:
    from trainer.annotations import read_annotations
    from trainer.annotations.draw import check_out, draw_boxes
    from trainer.annotations.summary import in_words

    data = arguments.data.resolve()  # "." has no name to put `.boxes` behind
    out = arguments.out or data.with_name(f"{data.name}.boxes")
    check_out(out, data)
    annotated = read_annotations(arguments.data, arguments.merge)
    print(in_words(annotated), flush=True)
    n_drawn, n_all = draw_boxes(annotated, out), len(annotated.pictures)
    print(f"drawn: {out}" + (f" ({n_drawn} of {n_all} pictures, with boxes first)" if n_drawn < n_all else ""))
    return DONE


def _pretrain(arguments: argparse.Namespace) -> int:
    from trainer.pretrain.train import Settings, pretrain

    if arguments.out.exists():
        raise ConfigError(f"{arguments.out}: is there already; name another file or remove it")
    pretrain(Settings(**{name: getattr(arguments, name) for name in Settings.__slots__}), arguments.out)
    print(f"weights: {arguments.out}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
