"""`mekiki-train fit`: one command, and for each family the arguments that only it takes."""

import argparse
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import NoReturn

from models.command import DONE, Parser, say, sub_parser
from models.errors import ConfigError
from trainer.fit_arguments import add_arguments
from trainer.options import Common, DetectionOptions, FitOptions, SupervisedOptions

EXAMPLE = "mekiki-train fit --family anomaly --data screws/ --out screws.bundle"
# Family -> its models, and the arguments that only it takes.
_FAMILIES = {
    "anomaly": (
        ("patchcore", "padim", "stfpm", "supersimplenet", "draem"),
        {"backbone", "cycle_time_s", "bank", "feature_width", "precision", "augment", "upright", "steps", "batch"},
    ),
    "detection": (("rtmdet-tiny", "rtmdet-s", "rtmdet-m"), {"steps", "batch", "merge_px", "one_class"}),
    "classification": (("timm",), {"backbone", "steps", "batch"}),
    "segmentation": (("unet",), {"backbone", "steps", "batch"}),
}
# What a study says for all its candidates.
_NOT_GIVEN = ("help", "family", "data", "out", "compatible", "limit", "seed")

# Of family anomaly: what only some of its models take.
_TAKEN_BY = {
    "bank": ("patchcore",),
    "feature_width": ("patchcore",),
    "precision": ("patchcore",),
    "cycle_time_s": ("patchcore",),
    "backbone": ("patchcore", "padim", "stfpm", "supersimplenet"),
    "weights": ("patchcore", "padim", "stfpm", "supersimplenet"),
    "allow_hub": ("patchcore", "padim", "stfpm", "supersimplenet"),
    "steps": ("stfpm", "supersimplenet", "draem"),
    "batch": ("stfpm", "supersimplenet", "draem"),
}


def add_fit(subs: object) -> None:
    """`mekiki-train fit` with the arguments of every family."""
    add_arguments(sub_parser(subs, "fit", _fit, "Learn from images, measure, and write a bundle.", EXAMPLE), families())


def families() -> dict[str, tuple[str, ...]]:
    """Every family with the models that it has, the usual one first."""
    return {family: models for family, (models, _) in _FAMILIES.items()}


def options_of(family: str, given: Mapping[str, str | float | bool], *, data: Path, out: Path) -> Common:
    """What the command line would make of `given`: flags by their names, with `_` for `-` and without the dashes.

    Raises ConfigError for an option that the family has not, or a value that its flag refuses.
    """
    parser = _Refusing(prog="fit")
    add_arguments(parser, families())
    flags = {flag[2:].replace("-", "_"): action for action in parser._actions for flag in action.option_strings[-1:]}
    argv = [f"--family={family}", f"--data={data}", f"--out={out}"]
    for name, value in given.items():
        if name not in flags or name in _NOT_GIVEN:
            raise ConfigError(f"no option {name!r:.40}; family {family} has {', '.join(_names(flags, family))}")
        argv += _argument(flags[name], name, value)
    return _options(parser.parse_args(argv))


def run_fit(options: Common, say: Callable[[str], None]) -> None:
    """Fits what the options are of. Raises MekikiError; then no bundle is left."""
    if isinstance(options, FitOptions):
        from trainer.fit import fit as fit_anomaly

        fit_anomaly(options, say)
    elif isinstance(options, DetectionOptions):
        from trainer.detection.fit import fit as fit_detection

        fit_detection(options, say)
    elif isinstance(options, SupervisedOptions):
        from trainer.supervised.fit import fit as fit_supervised

        fit_supervised(options, say)
    else:
        raise TypeError(f"options of no family: {type(options).__name__}")


class _Refusing(Parser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _names(flags: Mapping[str, argparse.Action], family: str) -> list[str]:
    """The options of a family, by the names of their flags."""
    others = {name for other, (_, own) in _FAMILIES.items() if other != family for name in own}
    strange = others - _FAMILIES[family][1]
    return [name for name, action in flags.items() if action.dest not in strange and name not in _NOT_GIVEN]


def _argument(action: argparse.Action, name: str, value: str | float | bool) -> list[str]:
    flag = action.option_strings[-1]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigError(f"option {name}: {value!r:.40} was found, true or false was wanted")
        return [flag] if value else []
    if isinstance(value, bool):
        raise ConfigError(
            f"option {name}: {str(value).lower()} was found, a value was wanted; see {flag} of fit --help"
        )
    return [f"{flag}={value}"]


def _fit(arguments: argparse.Namespace) -> int:
    run_fit(_options(arguments), say)
    return DONE


def _options(arguments: argparse.Namespace) -> Common:
    """Raises ConfigError for a model or an argument of another family."""
    chosen = {name: value for name, value in vars(arguments).items() if name not in ("run", "family")}
    models, own = _FAMILIES[arguments.family]
    if (model := chosen.pop("model")) is not None:
        if model not in models:
            raise ConfigError(f"--model {model}: not of family {arguments.family}, which has {', '.join(models)}")
        chosen["model"] = model
    _refuse_strange(chosen.keys() - own)
    if (main := chosen.get("precision", "f32")) in arguments.also:
        raise ConfigError(f"--also {main}: that is what the bundle has first; remove it, or give another --precision")
    if arguments.family == "detection":
        return DetectionOptions(**chosen)
    if arguments.family != "anomaly":
        return SupervisedOptions(**{"family": arguments.family, "model": models[0], **chosen})
    _refuse_untaken(chosen)
    return FitOptions(**chosen)


def _refuse_strange(names: Set[str]) -> None:
    """Raises ConfigError for an argument that only other families take."""
    for name in sorted(names):
        if takers := [family for family, (_, own) in _FAMILIES.items() if name in own]:
            raise ConfigError(f"--{_flag(name)}: belongs to --family {' or '.join(takers)}; remove it")


def _refuse_untaken(chosen: dict[str, object]) -> None:
    """Raises ConfigError for an argument that this model of family anomaly does not read."""
    model = str(chosen.get("model", "patchcore"))
    for name, takers in _TAKEN_BY.items():
        if chosen.get(name) not in (None, False) and model not in takers:
            raise ConfigError(f"--{_flag(name)}: --model {model} has none, {', '.join(takers)} do; remove it")


def _flag(name: str) -> str:
    return name.removesuffix("_s").removesuffix("_px").replace("_", "-")
