"""`mekiki-train render` and `render-parts`: pictures that no camera took."""

import argparse
from pathlib import Path

from models.command import DONE, positive_int, sub_parser
from models.errors import ConfigError
from trainer.arguments import seed, whole


def add_render(subs: object) -> None:
    """`mekiki-train render`."""
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
    render.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same screws (%(default)s)")


def add_render_parts(subs: object) -> None:
    """`mekiki-train render-parts`."""
    example = "mekiki-train render-parts --out parts/ --good 800 --damaged 1600"
    render = sub_parser(
        subs, "render-parts", _render_parts, "Render made-up parts of all kinds, with boxes on their defects.", example
    )
    render.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make, with COCO boxes")
    render.add_argument(
        "--good", type=positive_int, default=100, metavar="N", help="parts without defect (%(default)s)"
    )
    render.add_argument("--damaged", type=positive_int, default=200, metavar="N", help="and with some (%(default)s)")
    render.add_argument("--screws", type=whole, default=0, metavar="N", help="and screws, half scratched (%(default)s)")
    render.add_argument("--plain", action="store_true", help="no defect of these parts is tiny or faint")
    render.add_argument("--image-size", type=positive_int, default=320, metavar="PX", help="side (%(default)s)")
    render.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same parts (%(default)s)")


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


def _render_parts(arguments: argparse.Namespace) -> int:
    from trainer.progress import progress
    from trainer.synth.parts import write_parts

    if arguments.out.exists():
        raise ConfigError(f"{arguments.out}: is there already; name another folder or remove it")
    write_parts(
        arguments.out,
        good=arguments.good,
        damaged=arguments.damaged,
        screws=arguments.screws,
        plain=arguments.plain,
        seed=arguments.seed,
        size_px=arguments.image_size,
        progress=lambda items: progress(items, "render"),
    )
    print(f"rendered: {arguments.out}")
    return DONE
