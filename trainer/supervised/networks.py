"""The networks of both families, and what they begin with."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ConfigError
from models.manifest import Preprocess, Weights
from models.prediction import Image
from trainer.backbone import name_in, read_state, settle_statistics

if TYPE_CHECKING:
    import torch

# Their statistics are of no real picture: those of the images serve better.
_WITHOUT_PHOTOGRAPHS = ("untrained", "starter")
_LEAST_SHARE = 0.5  # of the backbone's tensors; the starter weights end before a ResNet's last stage
_ENCODER = "encoder.model."  # what a U-Net calls its backbone
# Strides 2 to 16, all that the starter weights hold: one stage more has most of the weights, and few images teach it.
_DEPTH, _DECODER_CHANNELS = 4, (128, 64, 32, 16)


@dataclass(frozen=True, slots=True)
class Begun:
    """Which of a network's tensors came out of a file."""

    known: frozenset[str]
    n_tensors: int  # of the network

    @property
    def words(self) -> str:
        """For a person."""
        return "" if len(self.known) == self.n_tensors else f" ({len(self.known)} of {self.n_tensors} tensors)"


def new_classifier(backbone: str, n_classes: int, spec: Preprocess, seed: int) -> torch.nn.Module:
    """timm's network with a new head for (n, 3, height_px, width_px) -> (n, n_classes).

    Raises ConfigError for a name that timm does not know, or a network that cannot see that size.
    """
    import timm
    import torch

    torch.manual_seed(seed)
    try:
        network: torch.nn.Module = timm.create_model(backbone, pretrained=False, num_classes=n_classes)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"--backbone {backbone}: timm makes no classifier of it ({error}); try resnet18") from error
    return _tried(network, backbone, spec)


def new_segmenter(backbone: str, spec: Preprocess, seed: int) -> torch.nn.Module:
    """A U-Net on timm's network: (n, 3, height_px, width_px) -> logits (n, 1, height_px, width_px).

    Raises ConfigError for a name that timm does not know, or a network that gives no feature maps of that size.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import segmentation_models_pytorch as smp

    logging.getLogger("timm.models._builder").setLevel(logging.ERROR)
    torch.manual_seed(seed)
    try:
        network: torch.nn.Module = smp.Unet(
            f"tu-{backbone}",
            encoder_depth=_DEPTH,
            encoder_weights=None,
            decoder_channels=_DECODER_CHANNELS,
            classes=1,
        )
    except (RuntimeError, TypeError, AttributeError, ValueError, IndexError, AssertionError) as error:
        raise ConfigError(f"--backbone {backbone}: gives no U-Net its features ({error}); try resnet18") from error
    return _tried(network, backbone, spec)


def _tried(network: torch.nn.Module, backbone: str, spec: Preprocess) -> torch.nn.Module:
    import torch

    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, spec.height_px, spec.width_px))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--backbone {backbone}: cannot see {spec.width_px}x{spec.height_px} px ({error}); "
            "give the --image-size that it was made for, or try resnet18"
        ) from error
    return network


def begin(network: torch.nn.Module, file: Path | None) -> Begun:
    """Loads what `file` holds of the backbone, and of all else where it is of such a network.

    A head of other classes is left out. Raises ConfigError where it is of another network.
    """
    state = {} if file is None else read_state(file)
    wanted = network.state_dict()
    found = {key: state[name] for key in wanted if (name := _named(state, key)) is not None}
    fitting = {key: value for key, value in found.items() if value.shape == wanted[key].shape}
    if file is not None:
        _refuse_foreign(file, network, found, fitting)
        network.load_state_dict(fitting, strict=False)
    return Begun(frozenset(fitting), len(wanted))


def _refuse_foreign(file: Path, network: torch.nn.Module, found: dict[str, Any], fitting: dict[str, Any]) -> None:
    keys = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    backbone = [key for key in keys if key.startswith(_ENCODER)] or [key for key in keys if not _is_head(network, key)]
    wrong = [key for key in backbone if key in found and key not in fitting]
    missing = [key for key in backbone if key not in found]
    if wrong or len(missing) > (1 - _LEAST_SHARE) * len(backbone):
        what = f"has another shape of {wrong[0]}" if wrong else f"lacks {missing[0]}"
        raise ConfigError(f"{file}: {what}; these weights are of another backbone: set --backbone to theirs")


def _is_head(network: torch.nn.Module, key: str) -> bool:
    head = getattr(network, "pretrained_cfg", {}).get("classifier", "fc")
    return key.startswith((head,) if isinstance(head, str) else tuple(head))


def _named(state: dict[str, Any], key: str) -> str | None:
    """A file of a bare backbone does not say that it will be an encoder."""
    return name_in(state, key) or name_in(state, key.removeprefix(_ENCODER))


def settle(network: torch.nn.Module, begun: Begun, weights: Weights, images: Iterable[Image], spec: Preprocess) -> None:
    """Gives layers without statistics of real pictures those of the images."""
    but = frozenset[str]() if weights.source in _WITHOUT_PHOTOGRAPHS else begun.known
    settle_statistics(network, images, spec, but)


def groups(network: torch.nn.Module, begun: Begun, rate: float, known_share: float) -> Sequence[dict[str, Any]]:
    """Parameters for an optimizer: what is known already is changed more slowly."""
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    known = [parameter for name, parameter in named if name in begun.known]
    new = [parameter for name, parameter in named if name not in begun.known]
    return [
        {"params": parameters, "lr": lr, "peak": lr}
        for parameters, lr in ((known, rate * known_share), (new, rate))
        if parameters
    ]
