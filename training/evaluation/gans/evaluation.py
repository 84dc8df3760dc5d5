"""An evaluation of generators from its settings to the files: each at its own size, together with real images and
noise."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, field_validator
from rich.console import Console

from pipelines.console import at_work
from pipelines.settings import AddedLater, LocalPath, PathOrName, Settings, StorePath, decisive_values, to_yaml
from pipelines.store.remote_copy import here
from pipelines.store.schema import Split
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.table import write_table
from training.evaluation.gans.efficientnet_lite0 import EfficientnetLite0Features
from training.evaluation.gans.features import ClassifierFeatures, Extractor
from training.evaluation.gans.figures import draw_nearest, draw_samples
from training.evaluation.gans.flags import Thresholds
from training.evaluation.gans.generating import RealSplits, generate, uniform_noise
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.evaluation.gans.inception import InceptionFeatures
from training.evaluation.gans.measures import ImageSet, Measures, Neighbours, RealImages, describe_images
from training.evaluation.gans.table import GanSubject, Score, make_gan_table
from training.evaluation.robustness.evaluation import folder_name, write_flags
from training.gans.trained import TrainedGan
from training.streams.stream import Data

__all__ = ["EvaluatedGan", "GanData", "GanEvaluation", "GanResult", "evaluate_gans", "write_gan_result"]

REAL, NOISE = "real training images", "uniform noise"
WITHOUT_EFFECT = {"runs", "classifier", "inception", "thresholds", "device", "output_root"}
"""Metrics shown in the table, besides those that depend on rows and extractors."""


class GanData(Settings):
    """Images of the size that a generator makes. Generated images are compared with those of `split`; `conditions` is
    the split that provides labels, and images as input of a generator. `verify` as in Data."""

    root: PathOrName
    geometry: str = "crop_or_pad"
    split: Split = "test"
    conditions: Split = "validation"
    verify: bool = False


class GanEvaluation(Settings):
    """Which generators to evaluate, and by the features of which networks: `classifier` as in find_models, those named
    in `features`, and if `inception` names the file of its weights, Inception's."""

    runs: tuple[PathOrName, ...] = Field(min_length=1)
    classifier: PathOrName = "latest"
    features: Annotated[tuple[Literal["efficientnet_lite0"], ...], AddedLater(before=())] = ()
    inception: LocalPath | None = None
    data: GanData
    samples: int = Field(default=10_000, ge=2)
    seed: int = Field(default=0, ge=0)
    measures: Measures = Measures()
    thresholds: Thresholds = Thresholds()
    batch_size: int = Field(default=256, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output_root: StorePath = Path("data/evaluations")

    @field_validator("runs", "features", mode="before")
    @classmethod
    def _as_tuple(cls, given: Any) -> Any:
        if isinstance(given, str):
            return (given,)
        return tuple(given) if isinstance(given, list) else given

    def extractors(self, classifier: Classifier, name: str, device: torch.device) -> list[Extractor]:
        """Raises EvaluationError."""
        found: list[Extractor] = [ClassifierFeatures(classifier, name, device)]
        if "efficientnet_lite0" in self.features:
            found.append(EfficientnetLite0Features(device))
        return found if self.inception is None else [*found, InceptionFeatures(self.inception, device)]


class EvaluatedGan(NamedTuple):
    """`run` is the id of its tracked run, or None."""

    gan: TrainedGan
    run: str | None


class Pictures(NamedTuple):
    """The pictures of a generator: its images by label, and those that are nearest to training images."""

    images: ImageSet
    train: ImageSet
    nearest: Neighbours


class GanResult(NamedTuple):
    """`pictures` by generator; `key` is a digest of the generators, the images, and the measurement settings."""

    table: pa.Table
    flags: Sequence[str]
    pictures: Mapping[str, Pictures]
    key: str


def evaluate_gans(
    settings: GanEvaluation, gans: Mapping[str, EvaluatedGan], extractors: Sequence[Extractor], device: torch.device,
    console: Console,
) -> GanResult:  # fmt: skip
    """`gans` by their names in the result. Raises StreamError, EvaluationError and DivergedError."""
    rows: list[tuple[GanSubject, list[Score]]] = []
    pictures: dict[str, Pictures] = {}
    for (size_px, classes), names in _alike(gans).items():
        given = settings.data
        data = Data(root=given.root, geometry=given.geometry, size_px=size_px, verify=given.verify)
        splits = RealSplits.read(data, settings.data.split, settings.data.conditions).of_classes(classes)
        train = describe_images(splits.train, extractors[:1], settings.batch_size)
        test = describe_images(splits.test, extractors, settings.batch_size)
        real = RealImages(train, test, extractors, splits.num_classes)
        for subject in _subjects(settings, {name: gans[name].gan for name in names}, splits, device):
            name = subject.name
            with at_work(f"{name}, {size_px} px", console):
                described = describe_images(subject.images, extractors, settings.batch_size)
                training = Neighbours.of(described, train)
                scores = settings.measures(described, training, real, subject.conditional, settings.seed, device)
                run = gans[name].run if name in gans else None
                digests = (subject.images.digest, test.images.digest)
                rows.append((GanSubject(name, run, *digests, size_px, settings.data.split), list(scores)))
                if name in gans:
                    pictures[name] = Pictures(described, train, training)
    table = make_gan_table(rows)
    key = _key(settings, extractors, [subject for subject, _ in rows])
    fooling = {name: gan.architecture.fools is not None for name, (gan, _) in gans.items()}
    return GanResult(table, settings.thresholds.find_flags(table, fooling), pictures, key)


def write_gan_result(settings: GanEvaluation, gans: Mapping[str, EvaluatedGan], result: GanResult) -> Path:
    """The folder of this result under settings.output_root, which is the same for the same generators, images and
    settings.

    It contains gan_evaluation.parquet, .csv and .yaml (the settings), flags.txt if there are any flags, and for each
    generator <name>/samples.png and <name>/nearest_training_images.png. Raises EvaluationError."""
    names = "+".join(folder_name(name) for name in gans)
    folder = here(settings.output_root) / f"{names[:80]}-{settings.data.split}-{result.key[:12]}"
    write_table(result.table, folder, "gan_evaluation")
    with replacing(folder / "gan_evaluation.yaml") as partial:
        partial.write_text(to_yaml(settings))
    write_flags(result.flags, folder / "flags.txt")
    for name, pictures in result.pictures.items():
        own, gan = folder / folder_name(name), gans[name].gan
        draw_samples(pictures.images.images, name, gan.architecture.conditional, own / "samples.png")
        draw_nearest(pictures.images, pictures.train, pictures.nearest, name, own / "nearest_training_images.png")
    return folder


class MeasuredImages(NamedTuple):
    """Images that are measured, and whether they have labels."""

    name: str
    images: ImagesInMemory
    conditional: bool


def _alike(gans: Mapping[str, EvaluatedGan]) -> dict[tuple[int, tuple[int, ...]], list[str]]:
    """Names by size and classes: generators of equal size and classes are compared with the same real images."""
    groups: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, (gan, _) in gans.items():
        groups.setdefault((gan.shape.size_px, gan.shape.classes), []).append(name)
    return groups


def _subjects(
    settings: GanEvaluation, gans: Mapping[str, TrainedGan], splits: RealSplits, device: torch.device
) -> Iterator[MeasuredImages]:
    """The images of the generators, and the reference images that give their numbers a scale."""
    count, seed = settings.samples, settings.seed
    for name, gan in gans.items():
        made = generate(gan, name, splits.conditions, count, seed, settings.batch_size, device)
        yield MeasuredImages(name, made, gan.architecture.conditional)
    drawn = splits.train.drawn(min(count, len(splits.train.labels)), np.random.default_rng([seed, 1]))
    for name, images in ((REAL, drawn), (NOISE, uniform_noise(drawn, seed))):
        yield MeasuredImages(name + splits.class_list, images, True)


def _key(settings: GanEvaluation, extractors: Sequence[Extractor], subjects: Iterable[GanSubject]) -> str:
    how = decisive_values(settings, WITHOUT_EFFECT)
    for key in ("root", "verify"):
        del how["data"][key]
    facts = [json.dumps(how, sort_keys=True), *(extractor.label for extractor in extractors), *map(str, subjects)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
