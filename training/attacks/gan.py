from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field, PrivateAttr
from torch import nn

from pipelines.settings import PathOrName
from training.attacks.balls import norms, per_image
from training.attacks.direction import OneDirection
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Meter


class Gan(OneDirection):
    """The perturbation that a trained generator makes of an image, scaled to the requested strength: one pass through
    the generator and none through the network (gans.Adversarial; C. Xiao et al., "Generating adversarial examples with
    adversarial networks", 2018).

    `generator` is a run, `latest` or a checkpoint, as in training.tracking.find_models; in a prepared attack it is the
    digest of the weights. The attack does not read it: `opened` takes the loaded generator. `name` distinguishes the
    variants of several generators: gan-adversarial-snr33."""

    kind: ClassVar[str] = "gan"
    needs_gradients: ClassVar[bool] = False
    generator: PathOrName = "latest"
    name: str = Field(default="adversarial", pattern=r"^[a-z0-9_]+$")
    _perturbation: Callable[[torch.Tensor], torch.Tensor] | None = PrivateAttr(default=None)

    @property
    def variant(self) -> str:
        bare = self.model_copy(update={"name": type(self)().name, "generator": type(self)().generator})
        return "_".join([f"{self.kind}-{self.name}", *bare.changed()])

    def opened(self, perturbation: Callable[[torch.Tensor], torch.Tensor]) -> "Gan":
        """The same attack with its generator: images (N, 3, S, S) in [0, 1] → what it would add to them, on the same
        device and without gradients."""
        opened = self.model_copy()
        opened._perturbation = perturbation
        return opened

    def direction(self, network: nn.Module, examples: LabelledImages) -> tuple[torch.Tensor, Meter]:
        if self._perturbation is None:
            raise AttackError(
                f"attack.generator={self.generator}: the generator is not loaded; only "
                "jobs/make_adversarial_datasets.py makes images with this attack"
            )
        perturbation = self._perturbation(examples.images)
        length = per_image(norms(perturbation, self.norm))
        return perturbation / torch.where(length > 0, length, 1.0), Meter(examples.images)
