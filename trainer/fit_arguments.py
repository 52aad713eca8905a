"""The arguments of `mekiki-train fit`, of every family and of single ones."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.command import Parser, positive_int, product
from trainer.arguments import length_px, precisions, seconds, seed, side_px


def add_arguments(fit: Parser, families: Mapping[str, Sequence[str]]) -> None:
    """`families` with the models of each. What only some of them take is not there when it is not given."""
    fit.add_argument(
        "--family",
        required=True,
        choices=list(families),
        help="anomaly: from good images; detection: from boxes; classification: from good and bad images; "
        "segmentation: from masks",
    )
    fit.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="MVTec AD layout, or good/ and a folder per defect; detection also takes COCO, VOC and YOLO",
    )
    fit.add_argument(
        "--out", required=True, type=Path, metavar="BUNDLE", help="folder to make; pictures go to BUNDLE.report"
    )
    models = [model for names in families.values() for model in names]
    fit.add_argument("--model", choices=models, help="which model of the family (its first one)")
    fit.add_argument(
        "--weights", type=Path, metavar="FILE", help=".pth or .safetensors; else cache, hub, starter, untrained"
    )
    fit.add_argument("--allow-hub", action="store_true", help="download weights if nothing local has them")
    fit.add_argument(
        "--image-size", type=side_px, metavar="PX", help="longer side the network sees (chosen from the data)"
    )
    fit.add_argument(
        "--policy", default="auto", choices=["auto", "recall_1", "normal_quantile"], help="how the threshold is put"
    )
    fit.add_argument(
        "--compatible",
        type=product,
        metavar="PRODUCT",
        help="what the bundle is for; a box keeps to the product it has",
    )
    fit.add_argument("--limit", type=positive_int, metavar="N", help="learn from the first N good images by name")
    fit.add_argument(
        "--also",
        type=precisions,
        default=(),
        metavar="LIST",
        help="further precisions for the same bundle, each with its own threshold, as int8,bf16,f16; the box takes the "
        "fastest that it proves",
    )
    fit.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same bundle (%(default)s)")
    _add_shared(_group(fit, "for some of the families"))
    _add_anomaly(_group(fit, "for --family anomaly"))
    _add_detection(_group(fit, "for --family detection"))


def _group(fit: Parser, title: str) -> argparse._ArgumentGroup:
    return fit.add_argument_group(title, argument_default=argparse.SUPPRESS)


def _add_shared(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--backbone",
        help="all but detection: any timm model, for anomaly and segmentation a CNN (resnet18)",
    )
    group.add_argument(
        "--steps",
        type=positive_int,
        metavar="N",
        help="classification (160), segmentation (200), detection at most (1500, with a GPU 2000), anomaly by the "
        "model: stfpm, supersimplenet, draem (150)",
    )
    group.add_argument(
        "--batch",
        type=positive_int,
        metavar="N",
        help="pictures a step: classification, segmentation (8), detection (4, with a GPU 16), anomaly as steps (4)",
    )


def _add_anomaly(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--cycle-time",
        dest="cycle_time_s",
        type=seconds,
        metavar="S",
        help="seconds for each part on this machine (1.0); patchcore",
    )
    group.add_argument("--bank", type=positive_int, metavar="N", help="vectors to keep (10000); patchcore")
    group.add_argument(
        "--feature-width",
        type=positive_int,
        metavar="N",
        help="numbers to keep of each patch, those in which good ones differ most (half of whole frames, but with "
        "starter weights; else all); patchcore",
    )
    group.add_argument(
        "--precision",
        choices=["f32", "bf16"],
        help="what the box computes with (f32); bf16 is nearly twice as fast, on CPUs that have it; patchcore",
    )
    group.add_argument(
        "--augment",
        choices=["auto", "on", "off"],
        help="turned views to learn from (auto: if poses vary)",
    )
    group.add_argument(
        "--upright",
        choices=["auto", "on", "off"],
        help="find the part and look at it upright, and at nothing beside it (auto: if poses vary)",
    )


def _add_detection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--merge",
        dest="merge_px",
        type=length_px,
        metavar="PX",
        help="parts of a mask nearer than that are one box (2%% of the longer side)",
    )
    group.add_argument(
        "--one-class",
        action="store_true",
        help="all boxes are a `defect`: easier to learn where kinds are rare or alike",
    )
