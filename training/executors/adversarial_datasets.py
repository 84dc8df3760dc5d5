"""What a run of adversarial datasets is: the settings of jobs/make_adversarial_datasets.py, and what they come to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.settings import LocalPath, PathOrName, Settings, choose, describe
from pipelines.store.schema import ATTACKED, CLEAN, FORMAT_VERSION, SPLITS, Cell, Manifest, Split
from training.attacks import ATTACKS, Attack, AttackError, FixedStrength
from training.attacks.gan import Gan, checked, file_name
from training.classifiers.trained import Classifier
from training.gans.trained import TrainedGan
from training.streams.open_split import SAME_IN_ALL_VARIANTS, OpenSplit, open_split
from training.tracking import FoundModel, find_models

__all__ = ["AdversarialDatasets", "AttackPlan", "AttackedData", "prepare"]

SIGNIFICANT_DIGITS = 4
Finite = Annotated[float, Field(allow_inf_nan=False)]


class AttackedData(Settings):
    """Which images are attacked. `size_px` null: the size that the model is for. `images` null: all; else at most so
    many of each split, the first in order of its files. That order is by the hash of the image_id, so they are a random
    sample, and the same one at every size, in every variant and for every model. `verify` reads everything that is
    attacked, and what was made earlier, and compares it with the manifests."""

    root: LocalPath
    geometry: str = "crop_or_pad"
    size_px: int | None = Field(default=None, ge=1)
    variant: str = CLEAN
    images: int | None = Field(default=None, ge=1)
    verify: bool = False


class AdversarialDatasets(Settings):
    """`attack` on `model` with the images of `data`: a dataset for each strength, of which all share their passes
    through the network where the attack can.

    Attacks of fixed strength need `snr_db`, signal-to-noise ratios of each image, or `eps`, radii of the attack's norm
    on the scale of [0, 1]; those that seek the smallest perturbation need neither. `batch_size` images go through the
    network at a time; it decides the last bits of a gradient, and `partitions`, into how many Spark tasks the part
    files are dealt, decides none. `batch_id`, of the retraining that this is a step of, goes into the manifests."""

    model: PathOrName
    attack: Annotated[Attack, PlainValidator(lambda given: choose(ATTACKS, given)), PlainSerializer(describe)]
    snr_db: Annotated[tuple[Finite, ...], Field(min_length=1)] | None = None
    eps: Annotated[tuple[Annotated[Finite, Field(gt=0)], ...], Field(min_length=1)] | None = None
    data: AttackedData
    splits: tuple[Split, ...] = Field(default=("test",), min_length=1)
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=128, ge=1)
    compression: Literal["none", "zstd"] = "zstd"
    partitions: int | None = Field(default=None, ge=1)
    batch_id: str | None = None

    @field_validator("splits")
    @classmethod
    def _in_order(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        return tuple(split for split in SPLITS if split in splits)

    @model_validator(mode="after")
    def _strengths_fit(self) -> Self:
        if self.attack.kind == "universal":
            raise ValueError("attack: universal makes one perturbation for all images, so it cannot go batch by batch")
        given = [name for name in ("snr_db", "eps") if getattr(self, name) is not None]
        if not isinstance(self.attack, FixedStrength):
            if given:
                raise ValueError(f"{given[0]}: {self.attack.kind} seeks the smallest perturbation, leave it null")
        elif len(given) != 1:
            raise ValueError(f"{self.attack.kind} needs snr_db=[50,45,40,33] or eps=[0.03], one of the two")
        elif len(self.strengths) < len(self.snr_db or self.eps or ()):
            raise ValueError(f"{given[0]}: names a strength twice (to {SIGNIFICANT_DIGITS} digits)")
        return self

    @property
    def strengths(self) -> dict[str, dict[str, float] | None]:
        """By variant: {"snr_db": …} or {"eps": …}, None where the attack finds its own.

        A variant is named by its attack, the attack's settings that are not the default ones, the images' own variant
        unless it is clean, and after a hyphen its strength: fgsm-snr33, fgsm_norm_l2-snr33, pgd_steps_10-eps0.03137,
        one_pixel_pixels_3, fgsm_on_gaussian_max-snr33, gan-adversarial-snr33."""
        name = self.attack.variant
        if self.data.variant != CLEAN:
            name += f"_on_{self.data.variant.replace('-', '_')}"
        if self.snr_db:
            return {f"{name}-snr{_short(value)}": {"snr_db": value} for value in self.snr_db}
        if self.eps:
            return {f"{name}-eps{_short(value)}": {"eps": value} for value in self.eps}
        return {name: None}


@dataclass(frozen=True)
class AttackPlan:
    """One run, ready to be done: the model, the attack with what it needs, the images of each split that are to be
    attacked, and a fingerprint by cell."""

    found: FoundModel
    classifier: Classifier
    attack: Attack
    generator: TrainedGan | None
    source: Mapping[Split, OpenSplit]
    fingerprints: Mapping[Cell, dict[str, Any]]

    @property
    def manifest(self) -> Manifest:
        """Of the dataset that the images are in."""
        (variant,) = next(iter(self.source.values())).variants.values()
        return variant.manifest

    @property
    def counts(self) -> dict[Split, int]:
        return {split: sum(opened.rows) for split, opened in self.source.items()}

    @property
    def row_groups(self) -> list[tuple[Split, str, int, int]]:
        """(split, file, number, rows) of all that is to be attacked."""
        return [
            (split, group.path, group.number, group.rows)
            for split, opened in self.source.items()
            for variant in opened.variants.values()
            for group in variant.row_groups
        ]

    def sentence(self) -> str:
        """For the console."""
        there = self.manifest.counts
        return ", ".join(f"{split}: {images:,} of {there[split]:,} images" for split, images in self.counts.items())

    def about(self) -> dict[str, Any]:
        """For the manifests, of what has no effect on any byte."""
        model = {"name": self.found.name, "run": self.found.run_id, "digest": self.classifier.digest}
        generator = {"generator": {"run": self.generator.about.get("run_id")}} if self.generator else {}
        return {"content_digest": self.manifest.content_digest, "model": model, **generator}

    def write_files(self, folder: Path) -> tuple[str, list[Path]]:
        """For executors: the name of the classifier's file, and all files that they need."""
        files = [folder / f"{folder.name}.pt"]  # a session takes each name once
        self.classifier.write(files[0])
        if self.generator:
            files.append(folder / file_name(self.generator.digest))
            self.generator.write(files[1])
        return files[0].name, files


def prepare(settings: AdversarialDatasets, found: FoundModel, classifier: Classifier) -> AttackPlan:
    """Opens the images and checks that the model is for them. Raises StreamError, AttackError, and where a generator
    has to be found TrackingError and CheckpointError."""
    shape, data = classifier.shape, settings.data
    if data.size_px not in (None, shape.size_px):
        raise AttackError(
            f"{settings.model} is for images of {shape.size_px} px, not of {data.size_px} px; leave data.size_px null "
            f"or set data.size_px={shape.size_px}"
        )
    source = {
        split: _first_images(
            open_split(str(data.root), data.geometry, shape.size_px, [data.variant], split, data.verify), data.images
        )
        for split in settings.splits
    }
    attack, generator = _with_generator(settings.attack, shape.size_px)
    order = AttackPlan(found, classifier, attack, generator, source, {})
    fingerprint = order.manifest.fingerprint
    if ATTACKED in fingerprint:
        raise AttackError(
            f"data.variant={data.variant}: these images are adversarial already; attack clean or noisy ones"
        )
    if difference := classifier.difference(order.manifest.card):
        raise AttackError(f"{settings.model} {difference}; choose a model that was trained on this dataset")
    fingerprints = {
        Cell(data.geometry, shape.size_px, name, classifier.digest): {
            "format_version": FORMAT_VERSION,
            **{key: fingerprint.get(key) for key in (*SAME_IN_ALL_VARIANTS, "noise")},
            ATTACKED: classifier.digest,
            "attacked_variant": data.variant,
            "attacked_digest": order.manifest.content_digest,
            "attacked_splits": list(settings.splits),
            "attack": describe(attack),
            "strength": strength,
            "attack_seed": settings.seed,
            "batch_size": settings.batch_size,
            "compression": settings.compression,
            **({} if data.images is None else {"attacked_images": data.images}),
        }
        for name, strength in settings.strengths.items()
    }
    return replace(order, fingerprints=fingerprints)


def _with_generator(attack: Attack, size_px: int) -> tuple[Attack, TrainedGan | None]:
    if not isinstance(attack, Gan):
        return attack, None
    (found,) = find_models([attack.generator], experiment="gans")
    generator = checked(TrainedGan.read(found.path, torch.device("cpu")), attack.generator)
    if generator.shape.size_px != size_px:
        raise AttackError(
            f"attack.generator={attack.generator} is for images of {generator.shape.size_px} px, the model for "
            f"{size_px} px; train one with data.size_px={size_px}"
        )
    return attack.model_copy(update={"generator": generator.digest}), generator


def _first_images(opened: OpenSplit, images: int | None) -> OpenSplit:
    """The split as if it had no more than its first `images`: whole row groups, of which the last is cut."""
    if images is None:
        return opened
    starts = [0, *accumulate(opened.rows)]
    variants = {
        name: replace(
            variant,
            row_groups=tuple(
                group._replace(rows=min(group.rows, images - start))
                for group, start in zip(variant.row_groups, starts, strict=False)
                if start < images
            ),
        )
        for name, variant in opened.variants.items()
    }
    return replace(opened, variants=variants)


def _short(value: float) -> str:
    return f"{value:.{SIGNIFICANT_DIGITS}g}"
