from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from pipelines.settings import PathOrName
from training.attacks.balls import norms, per_image
from training.attacks.direction import OneDirection
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Meter

if TYPE_CHECKING:
    from training.gans.trained import TrainedGan


class Gan(OneDirection):
    """The perturbation that a trained generator makes of an image, scaled to the requested strength: one pass through
    the generator and none through the network (gans.Adversarial; C. Xiao et al., "Generating adversarial examples with
    adversarial networks", 2018).

    `generator` is a run, `latest` or a checkpoint, as in training.tracking.find_models; in a prepared attack it is the
    digest of the weights, and on an executor the path of the file. `name` distinguishes the variants of several
    generators: gan-adversarial-snr33."""

    kind: ClassVar[str] = "gan"
    generator: PathOrName = "latest"
    name: str = Field(default="adversarial", pattern=r"^[a-z0-9_]+$")

    @property
    def variant(self) -> str:
        bare = self.model_copy(update={"name": type(self)().name, "generator": type(self)().generator})
        return "_".join([f"{self.kind}-{self.name}", *bare.changed()])

    def opened(self, files: Path) -> "Gan":
        return self.model_copy(update={"generator": str(files / file_name(self.generator))})

    def direction(self, network: nn.Module, examples: LabelledImages) -> tuple[torch.Tensor, Meter]:
        perturbation = _read(Path(self.generator), examples.images.device).perturbation(examples.images)
        length = per_image(norms(perturbation, self.norm))
        return perturbation / torch.where(length > 0, length, 1.0), Meter(examples.images)


def file_name(digest: str) -> str:
    """The name of the generator's file on executors."""
    return f"{digest}.pt"


@lru_cache(maxsize=1)
def _read(path: Path, device: torch.device) -> "TrainedGan":
    """Read once per Python worker. Raises CheckpointError and AttackError."""
    from training.gans.trained import TrainedGan  # here: the adversarial GAN imports attacks

    return checked(TrainedGan.read(path, device), str(path))


def checked(trained: "TrainedGan", name: str) -> "TrainedGan":
    """Raises AttackError if it makes images rather than perturbations."""
    if trained.architecture.kind != "adversarial":
        raise AttackError(
            f"attack.generator={name} is a {trained.architecture.kind} GAN; train one with gan=adversarial"
        )
    return trained
