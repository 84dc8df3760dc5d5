"""A trained generator as one file: its weights, and everything that is needed to build it and to draw from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import choose, describe
from training.classifiers.trained import check_counts, checked_about, weights_digest
from training.gans import GANS, GanArchitecture, Players
from training.gans.contract import RGB
from training.gans.latents import NoiseImages, Source
from training.gans.perturber import Perturber
from training.loop.checkpoints import Checkpoint, CheckpointError, check_finite, fitting
from training.streams.stream import Batches

__all__ = ["GanShape", "TrainedGan"]

KIND = "generator"


@dataclass(frozen=True)
class GanShape:
    """What a GAN is built for: images of `size_px` and `channels`, and labels below `num_classes`; it was trained on
    `classes`."""

    size_px: int
    num_classes: int
    classes: tuple[int, ...]
    channels: int = RGB

    @classmethod
    def of(cls, train: Batches, classes: Sequence[int] | None = None) -> "GanShape":
        """The shape from the card and manifest of the training images, with all classes or some."""
        card = train.source.card
        variant = next(iter(train.source.variants.values()))
        seen = sorted(label for label, count in variant.manifest.counts_per_class["train"].items() if count)
        return cls(train.source.size_px, card.num_classes, tuple(sorted(classes or seen)), card.channels)

    def build(self, gan: GanArchitecture, seed: int) -> Players:
        return gan.build(self.size_px, self.num_classes, seed, self.channels)


@dataclass(frozen=True)
class TrainedGan:
    """`generator` has the moving average of the weights and is in evaluation mode after reading. `about` describes the
    training as plain data: settings, digests of the datasets, run id.

    `noise_images` draws latents of that kind (see pipelines.render.noise_images)."""

    generator: nn.Module
    architecture: GanArchitecture
    shape: GanShape
    about: Mapping[str, Any] = field(default_factory=dict)
    noise_images: NoiseImages | None = None

    @property
    def digest(self) -> str:
        """The digest of the generator's weights."""
        return weights_digest(self.generator)

    @torch.no_grad()
    def sample(self, labels: torch.Tensor, draw: torch.Generator, images: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, S, S), float32 in [0, 1], one image for each of `labels` (N,), int64, which an unconditional GAN
        ignores. `images` (N, 3, S, S) in [0, 1] are the input of image_to_image latents and of the adversarial
        generator. The same state of `draw`, a generator of the CPU, gives the same images.

        Raises SettingsError for a class that was not trained on, and if images or noise images are missing."""
        self._check(labels)
        device = next(self.generator.parameters()).device
        source = Source(None if images is None else images.to(device) * 2 - 1, self.noise_images)
        latent = self.architecture.latent.draw(len(labels), self.shape.size_px, draw, source)
        made: torch.Tensor = self.generator(latent.to(device), labels.to(device))
        return made.float().add(1).div_(2).clamp_(0, 1)

    @torch.no_grad()
    def perturbation(self, images: torch.Tensor) -> torch.Tensor:
        """For an adversarial generator: what it would add to `images` (N, 3, S, S) in [0, 1], before the sum is
        clipped."""
        assert isinstance(self.generator, Perturber), f"{self.architecture.kind} makes images"
        return self.generator.perturbation(images * 2 - 1)

    def write(self, path: Path) -> None:
        """Raises CheckpointError."""
        settings = {
            "kind": KIND, "gan": describe(self.architecture),
            "shape": {**vars(self.shape), "classes": list(self.shape.classes)},
            "about": dict(self.about), "digest": self.digest,
        }  # fmt: skip
        Checkpoint(settings, {"generator": self.generator.state_dict()}).write(path)

    @classmethod
    def read(cls, path: Path, device: torch.device, noise_images: NoiseImages | None = None) -> "TrainedGan":
        """Raises CheckpointError if the file is missing, corrupt, or not a generator of this version."""
        found = Checkpoint.read(path, device, kind=KIND)
        with fitting(path, "this version's generator"):
            gan = choose(GANS, found.settings["gan"])
            size_px, num_classes, classes, channels = (
                {"channels": RGB, **found.settings["shape"]}[key] for key in GanShape.__dataclass_fields__
            )
            check_counts(size_px=size_px, num_classes=num_classes, channels=channels)
            if not all(type(label) is int and 0 <= label < num_classes for label in classes):
                raise ValueError(f"classes are {classes}, expected whole numbers below {num_classes}")
            shape = GanShape(size_px, num_classes, tuple(classes), channels)
            generator = shape.build(gan, 0).generator
            generator.load_state_dict(found.state["generator"])
            about, digest = checked_about(found.settings["about"]), found.settings["digest"]
        trained = cls(generator.to(device).eval(), gan, shape, about, noise_images)
        if trained.digest != digest:
            raise CheckpointError(f"{path}: its weights do not match its digest; the file was changed")
        check_finite(path, generator.state_dict())
        return trained

    def _check(self, labels: torch.Tensor) -> None:
        unknown = sorted(set(labels.tolist()) - set(self.shape.classes)) if self.architecture.conditional else []
        if unknown:
            raise SettingsError(
                f"classes {unknown}: the generator was not trained on them, only on {list(self.shape.classes)}"
            )
