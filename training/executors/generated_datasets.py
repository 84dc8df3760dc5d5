"""The settings of jobs/make_generated_datasets.py, and the plan that is made from them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from pipelines.errors import SettingsError
from pipelines.settings import LocalPath, PathOrName, Settings
from pipelines.store.schema import (
    CLEAN,
    FORMAT_VERSION,
    GENERATED,
    Cell,
    GeneratedImages,
    Manifest,
    SourceImages,
    Split,
)
from pipelines.store.shown import Shown
from training.gans.latents import NoiseImages
from training.gans.trained import TrainedGan
from training.streams.open_split import SAME_IN_ALL_VARIANTS, OpenSplit, open_split
from training.tracking import FoundModel

__all__ = ["GeneratedDatasets", "GenerationPlan", "ShippedGan", "SourceData", "prepare_generated"]

SPLIT: Split = "train"


class SourceData(Settings):
    """The dataset in whose folder the variant is made, and whose clean training images provide the labels. `verify`
    reads these images, and earlier results, and compares them with the manifests."""

    root: LocalPath
    geometry: str = "crop_or_pad"
    verify: bool = False


class GeneratedDatasets(Settings):
    """An image of `model` for each training image, with its label: variant=gan-<name>; `name` is by default the kind of
    the GAN. `batch_size` images are drawn at a time, which affects the images. `partitions`, the number of Spark tasks,
    does not."""

    model: PathOrName
    name: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$")
    data: SourceData
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=128, ge=1)
    compression: Literal["none", "zstd"] = "zstd"
    partitions: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class GenerationPlan:
    """A prepared run."""

    found: FoundModel
    gan: TrainedGan
    source: OpenSplit
    cell: Cell
    fingerprint: dict[str, Any]

    @property
    def manifest(self) -> Manifest:
        """The manifest of the clean images."""
        return self.source.variants[CLEAN].manifest

    @property
    def counts(self) -> dict[Split, int]:
        return {SPLIT: sum(self.source.rows)}

    @property
    def row_groups(self) -> list[tuple[Split, str, int, int]]:
        """(split, file, number, rows) of all row groups whose labels are used."""
        return [(SPLIT, group.path, group.number, group.rows) for group in self.source.variants[CLEAN].row_groups]

    def about(self) -> dict[str, Any]:
        """Facts for the manifest that do not affect any byte."""
        model = {"name": self.found.name, "run": self.found.run_id, "digest": self.gan.digest}
        return {"content_digest": self.manifest.content_digest, "model": model}


def prepare_generated(settings: GeneratedDatasets, found: FoundModel, gan: TrainedGan) -> GenerationPlan:
    """Opens the clean images. Raises StreamError, and SettingsError if the generator is unconditional or lacks
    classes."""
    if not gan.architecture.conditional:
        raise SettingsError(
            f"model={settings.model}: {gan.architecture.kind} is not conditional, so its images have no labels"
        )
    data = settings.data
    source = open_split(str(data.root), data.geometry, gan.shape.size_px, [CLEAN], SPLIT, data.verify)
    manifest = source.variants[CLEAN].manifest
    if unknown := sorted(set(manifest.counts_per_class[SPLIT]) - set(gan.shape.classes)):
        raise SettingsError(
            f"model={settings.model}: was not trained on classes {unknown}, which are in {settings.data.root}"
        )
    shown = Shown("gan", settings.name or gan.architecture.kind)
    fingerprint = {
        "format_version": FORMAT_VERSION,
        **{key: manifest.fingerprint[key] for key in SAME_IN_ALL_VARIANTS if key in manifest.fingerprint},
        GENERATED: gan.digest,
        "source_variant_digest": manifest.content_digest,
        "generator_seed": settings.seed,
        "batch_size": settings.batch_size,
        "compression": settings.compression,
        **shown.facts,
    }
    cell = Cell(settings.data.geometry, gan.shape.size_px, shown.variant)
    return GenerationPlan(found, gan, source, cell, fingerprint)


@dataclass(frozen=True)
class ShippedGan:
    """A generator as plain data on its way to an executor; `file` is the name of its file among those of the
    session."""

    file: str
    variant: str
    seed: int
    batch_size: int
    noise_images: NoiseImages

    def __call__(self, files: Path, threads: int, gpu: str | None) -> Callable[[SourceImages], list[GeneratedImages]]:
        """Called on an executor, with `threads` threads on its CPU, where the same generator draws the same images
        everywhere."""
        torch.set_num_threads(threads)
        gan = TrainedGan.read(files / self.file, torch.device("cpu"), self.noise_images)
        return lambda source: [GeneratedImages(self.variant, _drawn(gan, source, self.seed, self.batch_size).numpy())]


def _drawn(gan: TrainedGan, source: SourceImages, seed: int, batch_size: int) -> torch.Tensor:
    """(N, S, S, 3), uint8: the draws for a batch are a function of the seed and of its first image's id."""
    parts = []
    for start in range(0, len(source.labels), batch_size):
        rows = slice(start, start + batch_size)
        digest = hashlib.sha256(f"{seed}\0{source.image_ids[start]}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
        images = torch.from_numpy(source.pixels[rows]).permute(0, 3, 1, 2).to(torch.float32).div_(255)
        made = gan.sample(torch.tensor(source.labels[rows], dtype=torch.int64), draw, images)
        if not made.isfinite().all():
            raise SettingsError("the generator makes images that are not finite; train it again")
        parts.append(made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(parts).contiguous()
