"""The network that turns an image into patch vectors, and where its weights come from.

In this order: a file that was given, the cache, the hub if it is allowed, the starter weights of
this package, none. An air-gapped plant stops before the hub.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ConfigError
from models.files import sha256_of
from models.manifest import Preprocess, Triple, Weights
from models.prediction import Image

if TYPE_CHECKING:
    import torch

STARTER = Path(__file__).parent.parent / "models" / "starter"
# Of ImageNet, on the scale 0..255; every timm backbone named here was trained with these.
MEAN_RGB: Triple = (123.675, 116.28, 103.53)
STD_RGB: Triple = (58.395, 57.12, 57.375)
_STRIDES = (8, 16)  # layer2 and layer3 of a ResNet: PatchCore, section 4.4.2


def find_weights(backbone: str, given: Path | None, allow_hub: bool) -> tuple[Weights, Path | None]:
    """Where the weights come from, and the file, which is None for untrained ones.

    Raises ConfigError when the file given is missing.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"{given}: no such file; give --weights the path of a .pth or .safetensors file")
        return Weights(source="path", name=given.name, sha256=sha256_of(given)), given
    if found := _from_hub(backbone, only_cache=True):
        return Weights(source="cache", name=found.name, sha256=sha256_of(found)), found
    if allow_hub and (found := _from_hub(backbone, only_cache=False)):
        return Weights(source="hub", name=_hub_name(backbone), sha256=sha256_of(found)), found
    starter = STARTER / f"{backbone}.pth"
    if starter.is_file():
        return Weights(source="starter", name=starter.name, sha256=sha256_of(starter)), starter
    return Weights(source="untrained", name="none", sha256=None), None


def _hub_name(backbone: str) -> str:
    import timm

    if not timm.is_model(backbone.split(".", maxsplit=1)[0]):
        close = ", ".join(timm.list_models(f"*{backbone[:5]}*")[:5]) or "resnet18"
        raise ConfigError(f"--backbone {backbone}: timm has no such model; near it: {close}")
    try:
        config = timm.get_pretrained_cfg(backbone)
    except RuntimeError as error:
        raise ConfigError(f"--backbone {backbone}: {error}; drop what follows the dot") from error
    return str(config.hf_hub_id) if config is not None and config.hf_hub_id else ""


def _from_hub(backbone: str, only_cache: bool) -> Path | None:
    """The weights of timm's hub entry, from huggingface_hub's own cache or through it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name = _hub_name(backbone)
    if not name:
        return None
    try:
        return Path(hf_hub_download(name, "model.safetensors", local_files_only=only_cache))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if only_cache:
            return None
        raise ConfigError(
            f"hub {name}: {str(error).splitlines()[0]}; give --weights FILE or drop --allow-hub"
        ) from error


def feature_layers(backbone: str, strides: Sequence[int] = _STRIDES) -> tuple[str, ...]:
    """Names of the layers at these strides, in timm's words.

    Raises ConfigError for a model that timm does not know or that has no such layers.
    """
    import timm

    _hub_name(backbone)
    try:
        network = timm.create_model(backbone, pretrained=False, features_only=True)
    except (RuntimeError, AttributeError) as error:
        raise ConfigError(f"--backbone {backbone}: gives no feature maps ({error}); try resnet18") from error
    names = {entry["reduction"]: entry["module"] for entry in network.feature_info.info}
    channels_first = getattr(network, "output_fmt", "NCHW") == "NCHW"
    if not channels_first or any(stride not in names for stride in strides):
        raise ConfigError(f"--backbone {backbone}: no CNN with layers at strides {tuple(strides)}; try resnet18")
    return tuple(names[stride] for stride in strides)


def load_weights(extractor: torch.nn.Module, file: Path) -> None:
    """Loads what the feature extractor needs from a .pth (tensors only, never pickled code) or .safetensors.

    Raises ConfigError when the file is no such file or lacks a tensor or has another shape.
    """
    load_state(extractor, read_state(file), file)


def load_state(extractor: torch.nn.Module, state: dict[str, Any], file: Path) -> None:
    """The same from tensors by name, which came from `file`."""
    wanted = extractor.state_dict()
    matched = {key: state[name] for key in wanted if (name := name_in(state, key)) is not None}
    missing = [key for key in wanted if key not in matched and not key.endswith("num_batches_tracked")]
    wrong = [key for key, value in matched.items() if value.shape != wanted[key].shape]
    if missing or wrong:
        what = f"lacks {missing[0]}" if missing else f"has another shape of {wrong[0]}"
        raise ConfigError(f"{file}: {what}; these weights are of another backbone: set --backbone to theirs")
    extractor.load_state_dict(matched, strict=False)


def read_state(file: Path) -> dict[str, Any]:
    """The tensors of a .pth (never unpickled) or .safetensors file, by name. Raises ConfigError when it is neither."""
    import torch
    from safetensors.torch import load_file

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's old reader warns of what it then refuses
            if file.suffix == ".safetensors":
                return dict(load_file(file))
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged file makes its reader raise anything, IndexError included
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{file}: no plain weights ({what:.80}); give a state dict") from error
    inner = state.get("state_dict", state) if isinstance(state, dict) else None
    return {k: v for k, v in inner.items() if isinstance(v, torch.Tensor)} if isinstance(inner, dict) else {}


def name_in(state: dict[str, Any], key: str) -> str | None:
    """timm flattens `stages.0.` to `stages_0.` when it cuts a network up for its features."""
    for name in (key, re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", key)):
        if name in state:
            return name
    return None


def settle_statistics(
    extractor: torch.nn.Module, images: Iterable[Image], spec: Preprocess, but: Container[str] = ()
) -> None:
    """Sets BatchNorm's statistics to those of the images: Li et al., arXiv 1603.04779, adapt networks that way.

    An untrained network needs it, since the signal shrinks from layer to layer with the untouched ones (mean 0,
    variance 1); one that was trained on pictures without photographs sees far better with it. `but` names tensors:
    a layer whose running mean is among them keeps its statistics.
    """
    settle(extractor, (tensor_of(image, spec) for image in images), but)


def settle(extractor: torch.nn.Module, batches: Iterable[torch.Tensor], but: Container[str] = ()) -> None:
    """The same from tensors as the network takes them, (n, 3, h, w)."""
    import torch

    norms = [
        module
        for name, module in extractor.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and f"{name}.running_mean" not in but
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all images
        norm.train()
    with torch.no_grad():
        for pixels in batches:
            extractor(pixels)
    extractor.eval()


def tensor_of(image: Image, spec: Preprocess) -> torch.Tensor:
    """torch's own version of `models/preprocess.py`, (1, 3, height_px, width_px): what parity is measured against."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    rgb = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).permute(2, 0, 1)[None].float()
    size = (spec.height_px, spec.width_px)
    return normalise(F.interpolate(rgb, size=size, mode="bilinear", antialias=True, align_corners=False))


def normalise(rgb: torch.Tensor) -> torch.Tensor:
    """(x - mean) / std per channel; `rgb` is (n, 3, h, w) on the scale 0..255."""
    import torch

    mean, std = (torch.tensor(values, device=rgb.device).view(1, 3, 1, 1) for values in (MEAN_RGB, STD_RGB))
    return (rgb - mean) / std
