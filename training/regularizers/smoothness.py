"""The smoothness of the labels on similarity graphs of a batch, from layer to layer."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import one_hot

from pipelines.errors import SettingsError
from pipelines.settings import Settings

__all__ = ["Smoothness", "SmoothnessLoss", "label_smoothness"]

ACTIVATIONS = (nn.ReLU, nn.ReLU6)


class SmoothnessLoss(NamedTuple):
    """`penalty`, a number to be added to the loss; `sigmas`, the smoothness at each layer, by its name."""

    penalty: torch.Tensor
    sigmas: Mapping[str, torch.Tensor]


class Smoothness(Settings):
    """Adds gamma^power · mean over consecutive layers of |σₗ₊₁ − σₗ| to the loss, with σₗ = tr(Yᵀ L^power Y), the
    one-hot labels Y of the batch and the Laplacian L = D − A of the graph whose edges A are the cosine similarities of
    the layer's outputs (C. Lassance, V. Gripon, A. Ortega, "Laplacian networks: bounding indicator function smoothness
    for neural networks robustness", 2021, sections II.B and II.C; Parseval report, gamma, m).

    The layers are all ReLUs of the network, or those in `layers`; a ReLU that a residual block uses twice counts with
    its last output, that of the block. `images`: "all" of a step, or only the "given" ones without those that the
    objective has made of them, as in section 4.2.2 of the report ("only use the non augmented part of the batch"). σ
    grows with the batch: the values of the report are for 100 images. On more ranks, the graphs are those of each
    rank's images."""

    gamma: float = Field(default=0.01, gt=0, le=1)
    power: int = Field(default=2, ge=1, le=8)
    images: Literal["all", "given"] = "all"
    layers: tuple[str, ...] = Field(default=(), description="names as in named_modules; none: all ReLUs")

    def layers_of(self, network: nn.Module) -> dict[str, nn.Module]:
        """Raises SettingsError."""
        there = dict(network.named_modules())
        activations = [name for name, layer in there.items() if isinstance(layer, ACTIVATIONS)]
        names = self.layers or tuple(activations)
        if missing := [name for name in names if name not in there]:
            raise SettingsError(f"smoothness.layers: the network has no {missing}; its ReLUs are {activations}")
        if len(names) < 2:
            raise SettingsError(
                f"smoothness: compares consecutive layers, found {list(names)}; name two or more in smoothness.layers"
            )
        return {name: there[name] for name in names}

    def __call__(
        self, features: Mapping[str, torch.Tensor], labels: torch.Tensor, valid: torch.Tensor, num_classes: int
    ) -> SmoothnessLoss:
        """`features` by layer, in order, (k N, …) with the N given images first; `labels` and `valid` are theirs,
        (N,)."""
        sigmas = {name: self._sigma(feature, labels, valid, num_classes) for name, feature in features.items()}
        steps = torch.stack(list(sigmas.values())).diff().abs()
        return SmoothnessLoss(self.gamma**self.power * steps.mean(), sigmas)

    def _sigma(
        self, features: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor, num_classes: int
    ) -> torch.Tensor:
        times = 1 if self.images == "given" else len(features) // len(labels)
        rows, signal = valid.repeat(times), one_hot(labels.repeat(times), num_classes).float()
        features = features[: len(rows)].float()
        if not valid.all():
            features, signal = features[rows], signal[rows]
        if features.ndim == 4:
            features = features.permute(0, 2, 3, 1)  # in channels_last memory flattening then copies nothing
        return label_smoothness(features.flatten(1), signal, self.power)


def label_smoothness(features: torch.Tensor, signal: torch.Tensor, power: int) -> torch.Tensor:
    """tr(Yᵀ L^power Y) for features (N, F) and the signal Y (N, classes). A vector of zeros is similar to none."""
    products = features @ features.t()
    squares = products.diagonal()
    inverse = torch.where(squares > 0, squares, 1.0).rsqrt()  # of the N norms, not of all values
    similar = inverse[:, None] * products * inverse
    laplacian = torch.diag(similar.sum(1)) - similar
    moved = signal
    for _ in range(power):
        moved = laplacian @ moved
    return (signal * moved).sum()
