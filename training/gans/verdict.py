"""How the features of a discriminator become its value."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from training.gans.conditioning import ClassEmbedding
from training.loop.players import has_batch_norm

__all__ = ["MinibatchStd", "Verdict", "judge", "mixes_images", "normalize_spectra"]

EPS = 1e-8


class MinibatchStd(nn.Module):
    """Features (N, F) → (N, F + 1): the last one is the standard deviation over the N images, averaged over the F
    features, the same for every image, so that a batch of equal images shows (T. Karras et al., "Progressive growing
    of GANs", ICLR 2018, section 3; here at the end of the discriminator and over the whole batch)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        deviation = (features.var(dim=0, correction=0) + EPS).sqrt().mean()
        return torch.cat([features, deviation.expand(len(features), 1)], 1)


class Verdict(NamedTuple):
    """The end of a discriminator: a linear layer w·h + b on features h (N, F). With `projection` also e(y)·h, where
    e(y) is an embedding of the class (T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018, equation
    4), and the class is not joined to the images."""

    projection: bool = False
    minibatch_std: bool = False

    def classes_joined(self, num_classes: int) -> int:
        """The number of classes for the layer that joins the class to the images; 0: it joins none."""
        return 0 if self.projection else num_classes

    def layers(self, features: int) -> list[nn.Module]:
        """The last layers of `model` in judge."""
        return [*([MinibatchStd()] if self.minibatch_std else []), nn.Linear(features + self.minibatch_std, 1)]

    def embedding(self, features: int, num_classes: int) -> ClassEmbedding | None:
        """`projected` in judge; its initial values make e(y)·h as large as the mean square of h."""
        if not (self.projection and num_classes):
            return None
        embedding = ClassEmbedding(num_classes, features + self.minibatch_std)
        nn.init.normal_(embedding.weight, 0, (features + self.minibatch_std) ** -0.5)
        return embedding


def judge(
    model: nn.Sequential, projected: ClassEmbedding | None, given: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Values (N,). `model` ends with the linear layer."""
    features: torch.Tensor = model[:-1](given)
    values: torch.Tensor = model[-1](features)[:, 0]
    if projected is not None:
        values = values + (projected(labels) * features).sum(1)
    return values


def mixes_images(network: nn.Module) -> bool:
    """Whether the value of an image depends on the others of its batch."""
    return has_batch_norm(network) or any(isinstance(layer, MinibatchStd) for layer in network.modules())


def normalize_spectra(discriminator: nn.Module) -> None:
    """Divides each weight of a convolution, of a linear layer and of a projection's embedding by its largest singular
    value (T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018)."""
    projected = getattr(discriminator, "projected", None)
    for layer in list(discriminator.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear) or (layer is projected and projected is not None):
            spectral_norm(layer)
