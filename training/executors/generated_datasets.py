"""The settings of jobs/make_generated_datasets.py, and the plan that is made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from rich.console import Console

from pipelines.errors import SettingsError
from pipelines.settings import PathOrName, Settings, StorePath
from pipelines.store.schema import (
    CLEAN,
    FORMAT_VERSION,
    GENERATED,
    Cell,
    Manifest,
    Split,
)
from pipelines.store.shown import Shown
from training.classifiers.opening import OpenedModel, open_models, stored
from training.executors.generator_step import ShippedChoice, ShippedGan
from training.gans.latents import NoiseImages
from training.gans.trained import TrainedGan
from training.streams.open_split import SAME_IN_ALL_VARIANTS, OpenSplit, open_split
from training.tracking import FoundModel

__all__ = ["GeneratedDatasets", "GenerationPlan", "SourceData", "open_judge", "prepare_generated"]

SPLIT: Split = "train"


class SourceData(Settings):
    """The dataset in whose folder the variant is made, and whose clean training images provide the labels. `verify`
    reads these images, and earlier results, and compares them with the manifests."""

    root: StorePath
    geometry: str = "crop_or_pad"
    verify: bool = False


class Choosing(Settings):
    """Each image is drawn again until `classifier` gives its label a probability of at least `confidence`, at most
    `tries` times; of an image of which it never is that sure, the draw is kept of which it is surest."""

    classifier: PathOrName
    confidence: float = Field(default=0.9, gt=0, le=1)
    tries: int = Field(default=8, ge=1)


class GeneratedDatasets(Settings):
    """An image of `model` for each training image, with its label: variant=gan-<name>; `name` is by default the kind of
    the GAN. `batch_size` images are drawn at a time, which affects the images. `partitions`, the number of Spark tasks,
    does not."""

    model: PathOrName
    name: str | None = Field(default=None, pattern=r"^[a-z0-9_]+$")
    data: SourceData
    choose: Choosing | None = None
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=128, ge=1)
    compression: Literal["none", "zstd"] = "zstd"
    partitions: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class GenerationPlan:
    """A prepared run."""

    found: FoundModel
    gan: TrainedGan
    judge: OpenedModel | None
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
        about = {"content_digest": self.manifest.content_digest, "model": model}
        if self.judge:
            found, classifier = self.judge
            about["classifier"] = {"name": found.name, "run": found.run_id, "digest": classifier.digest}
        return about

    def write_files(self, folder: Path) -> list[Path]:
        """Writes the generator, and the classifier if one chooses, for executors."""
        files = [folder / f"{folder.name}.pt"]  # a session accepts each name only once
        self.gan.write(files[0])
        if self.judge:
            files.append(folder / f"{folder.name}-classifier{self.judge.classifier.suffix}")
            self.judge.classifier.write(files[1])
        return files

    def shipped(self, settings: GeneratedDatasets, files: Sequence[Path], noise_images: NoiseImages) -> ShippedGan:
        """What executors need besides these files."""
        choose = settings.choose
        choice = ShippedChoice(files[1].name, choose.confidence, choose.tries) if choose else None
        return ShippedGan(files[0].name, self.cell.variant, settings.seed, settings.batch_size, noise_images, choice)


def open_judge(settings: GeneratedDatasets, gan: TrainedGan, console: Console) -> OpenedModel | None:
    """The classifier that chooses among draws, if one does."""
    if settings.choose is None:
        return None
    data = settings.data
    images = stored(str(data.root), data.geometry, gan.shape.size_px)
    (judge,) = open_models([settings.choose.classifier], torch.device("cpu"), images, console)
    return judge


def prepare_generated(
    settings: GeneratedDatasets, found: FoundModel, gan: TrainedGan, judge: OpenedModel | None = None
) -> GenerationPlan:
    """Opens the clean images. `judge` is the classifier of settings.choose. Raises StreamError, and SettingsError if
    the generator is unconditional or lacks classes, or if the classifier is for other images."""
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
    if judge:
        _check_judge(judge, gan, manifest)
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
    if settings.choose and judge:
        fingerprint["chosen"] = {
            "classifier": judge.classifier.digest, "confidence": settings.choose.confidence,
            "tries": settings.choose.tries,
        }  # fmt: skip
    cell = Cell(settings.data.geometry, gan.shape.size_px, shown.variant)
    return GenerationPlan(found, gan, judge, source, cell, fingerprint)


def _check_judge(judge: OpenedModel, gan: TrainedGan, manifest: Manifest) -> None:
    name, classifier = judge.found.name, judge.classifier
    if classifier.shape.size_px != gan.shape.size_px:
        raise SettingsError(
            f"choose.classifier: {name} is for images of {classifier.shape.size_px} px, but the generator makes images "
            f"of {gan.shape.size_px} px; train a classifier with data.size_px={gan.shape.size_px}"
        )
    if difference := classifier.difference(manifest.card):
        raise SettingsError(f"choose.classifier: {name} {difference}; choose one that was trained on this dataset")
