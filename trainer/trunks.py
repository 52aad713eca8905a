"""What PatchCore looks through: a backbone's layers at strides 8 and 16, or two trunks of it that end at stride 8.

The starter weights hold a second trunk beside the backbone. The one was taught to name damage, the other to tell it by
its distance from good parts, and what one overlooks the other finds. On real parts a coarser layer added nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.backbone import feature_layers, load_state

if TYPE_CHECKING:
    import torch

COMPARING = "comparing."  # what the names of the second trunk's tensors begin with


def layers_of(backbone: str, state: dict[str, Any]) -> tuple[str, ...]:
    """Names of the layers to look at, for weights by name. Raises ConfigError as `feature_layers`."""
    layers = feature_layers(backbone)
    return layers[:1] if _second_in(state) else layers


def load_trunks(network: torch.nn.Module, backbone: str, state: dict[str, Any], file: Path) -> torch.nn.Module:
    """`network`, which gives the maps of `layers_of`, with its weights, joined with the second trunk if there is one.

    `state` came from `file`. Raises ConfigError where it is of another backbone.
    """
    load_state(network, state, file)
    if not (own := _second_in(state)):
        return network
    second = new_trunk(backbone)
    load_state(second, own, file)
    return _joined(network, second)


def new_trunk(backbone: str) -> torch.nn.Module:
    """An untrained network that ends with its layer at stride 8 and gives a list of that map alone."""
    import timm

    finer = feature_layers(backbone)[0]
    info = timm.create_model(backbone, pretrained=False, features_only=True).feature_info.info
    index = next(i for i, entry in enumerate(info) if entry["module"] == finer)
    trunk: torch.nn.Module = timm.create_model(backbone, pretrained=False, features_only=True, out_indices=(index,))
    return trunk


def _second_in(state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(COMPARING): value for name, value in state.items() if name.startswith(COMPARING)}


def _joined(first: torch.nn.Module, second: torch.nn.Module) -> torch.nn.Module:
    import torch

    class Joined(torch.nn.Module):
        """(n, 3, h, w) -> a list of one map, (n, c + c, h / 8, w / 8)."""

        def __init__(self) -> None:
            super().__init__()
            self.first: Any = first
            self.second: Any = second

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [torch.cat([self.first(images)[0], self.second(images)[0]], dim=1)]

    return Joined().eval()
