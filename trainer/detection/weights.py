"""Where a detector's first weights come from: a file, the cache, mmdet's published checkpoints, ours, none.

In this order; an air-gapped plant stops before the third. Nothing is unpickled: checkpoints are read as plain tensors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from models.errors import ConfigError
from models.files import sha256_of
from models.manifest import Weights
from trainer.backbone import STARTER, read_state

if TYPE_CHECKING:
    import torch

_CLASSES = "bbox_head.rtm_cls."  # these say which class it is: they are ours to learn


def find_weights(model: str, given: Path | None, *, allow_hub: bool) -> tuple[Weights, Path | None]:
    """Where the weights come from, and the file, which is None for untrained ones.

    Raises ConfigError when the file given is missing, or the hub cannot be reached or sends something else.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"{given}: no such file; give --weights the path of a .pth or .safetensors file")
        return Weights(source="path", name=given.name, sha256=sha256_of(given)), given
    cached = _cache() / published_url(model).rsplit("/", 1)[-1]
    if cached.is_file():
        return Weights(source="cache", name=cached.name, sha256=sha256_of(cached)), cached
    if allow_hub:
        _download(published_url(model), cached)
        return Weights(source="hub", name=cached.name, sha256=sha256_of(cached)), cached
    starter = STARTER / f"{model}.pth"
    if starter.is_file():
        return Weights(source="starter", name=starter.name, sha256=sha256_of(starter)), starter
    return Weights(source="untrained", name="none", sha256=None), None


def published_url(model: str) -> str:
    """The address of mmdet's checkpoint, from the list that comes with mmdet. It ends with its first SHA-256 digits."""
    import mmdet
    import yaml

    listed = yaml.safe_load((Path(mmdet.__file__).parent / ".mim/configs/rtmdet/metafile.yml").read_text())
    name = model.replace("-", "_") + "_8xb32-300e_coco"
    return str(next(entry["Weights"] for entry in listed["Models"] if entry["Name"] == name))


def write_start(file: Path, network: torch.nn.Module, out: Path) -> Path:
    """Writes what `network` can begin with out of the checkpoint `file`, as mmengine reads it.

    A whole detector, or a backbone alone; the layer that tells classes apart begins anew where theirs are
    others, and from the same for each where `file` knows but one.
    Raises ConfigError when `file` is no plain checkpoint, or one of another architecture.
    """
    import torch

    state, wanted = read_state(file), network.state_dict()
    is_backbone = not any(key.startswith("bbox_head.") for key in state)
    needed = {key: value for key, value in wanted.items() if not is_backbone or key.startswith("backbone.")}
    own = {key for key in needed if key.startswith(_CLASSES)}
    missing = sorted(key for key in needed if key not in state and key not in own and not _is_counter(key))
    wrong = sorted(key for key in needed if key in state and key not in own and state[key].shape != wanted[key].shape)
    if missing or wrong:
        what = f"lacks {missing[0]}" if missing else f"has {wrong[0]} of {tuple(state[wrong[0]].shape)}"
        raise ConfigError(f"{file}: {what}; this checkpoint is of another architecture: give --model its own")
    taken = {key: state[key] for key in needed if key in state}
    taken |= {key: _for_classes(taken[key], wanted[key]) for key in own & taken.keys()}
    taken = {key: value for key, value in taken.items() if value.shape == wanted[key].shape}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": taken}, out)
    return out


def _for_classes(value: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Whoever learned what a defect is, of any class, begins with that for each class."""
    return value.repeat(len(wanted), *[1] * (value.dim() - 1)) if len(value) == 1 else value


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _cache() -> Path:
    """torch's own, so that whoever has the file need not load it again."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(url: str, out: Path) -> None:
    import torch

    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = out.stem.rsplit("-", 1)[-1]
    fetch: Any = torch.hub.download_url_to_file
    try:
        fetch(url, str(out), hash_prefix=prefix, progress=sys.stderr.isatty())
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: another hash
        raise ConfigError(f"hub {url}: {error}; give --weights FILE or drop --allow-hub") from error
