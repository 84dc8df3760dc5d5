"""The settings of jobs/make_adversarial_datasets.py, and the plan that is made from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.settings import PathOrName, Settings, StorePath, choose, decisive_values, describe
from pipelines.store.schema import ATTACKED, CLEAN, FORMAT_VERSION, SPLITS, Cell, Manifest, Split
from pipelines.store.shown import NONE, SHOWN_CURVE, SHOWN_STRENGTH, Shown
from training.attacks import ATTACKS, Attack, AttackError, FixedStrength
from training.attacks.gan import Gan
from training.classifiers.any_classifier import AnyClassifier
from training.executors.generators import file_name, read_generator
from training.gans.trained import TrainedGan
from training.streams.open_split import SAME_IN_ALL_VARIANTS, OpenSplit, open_split
from training.tracking import FoundModel, find_models

__all__ = ["AdversarialDatasets", "AttackPlan", "AttackedData", "prepare"]

SIGNIFICANT_DIGITS = 4
Finite = Annotated[float, Field(allow_inf_nan=False)]


class AttackedData(Settings):
    """Which images are attacked. `size_px` null: the image size of the model. `images` null: all; else the maximum
    number per split, the first ones in the order of its files. They are ordered by a hash of the image_id, so these are
    a random sample, and the same one at every size, in every variant and for every model. `verify` reads all images to
    be attacked, and earlier results, and compares them with the manifests."""

    root: StorePath
    geometry: str = "crop_or_pad"
    size_px: int | None = Field(default=None, ge=1)
    variant: str = CLEAN
    images: int | None = Field(default=None, ge=1)
    verify: bool = False


class AdversarialDatasets(Settings):
    """`attack` on `model` with the images of `data`: a dataset for each strength. If the attack supports it, all
    strengths share the passes through the network.

    Attacks of fixed strength need `snr_db`, signal-to-noise ratios of each image, or `eps`, radii in the norm of the
    attack on the scale of [0, 1]; attacks that seek the smallest perturbation need neither. `batch_size` images go
    through the network at a time, which affects the last bits of a gradient. `partitions`, the number of Spark tasks,
    does not affect the result. `batch_id`, that of the retraining that this is a step of, is recorded in the
    manifests."""

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
            raise ValueError(f"{given[0]}: contains duplicates (to {SIGNIFICANT_DIGITS} digits)")
        return self

    @property
    def strengths(self) -> dict[str, dict[str, float] | None]:
        """The strengths by variant: {"snr_db": …} or {"eps": …}, None if the attack seeks its own.

        The name of a variant consists of the attack, the attack's settings that differ from the defaults, the variant
        of the images unless it is clean, and after a hyphen the strength: fgsm-snr33, fgsm_norm_l2-snr33,
        pgd_steps_10-eps0.03137, one_pixel_pixels_3, fgsm_on_gaussian_max-snr33, gan-adversarial-snr33."""
        return {shown.variant: strength for shown, strength in self.shown.items()}

    @property
    def shown(self) -> dict[Shown, dict[str, float] | None]:
        """The strengths by how their variants are shown."""
        name = self.attack.variant + self._source
        if self.snr_db:
            return {Shown(name, f"snr{_short(value)}"): {"snr_db": value} for value in self.snr_db}
        if self.eps:
            return {Shown(name, f"eps{_short(value)}"): {"eps": value} for value in self.eps}
        return {Shown(name, NONE): None}

    @property
    def curve(self) -> str:
        """The name that the variants of all strengths share."""
        return self.attack.curve + self._source

    @property
    def _source(self) -> str:
        return "" if self.data.variant == CLEAN else f"_on_{self.data.variant.replace('-', '_')}"


@dataclass(frozen=True)
class AttackPlan:
    """A prepared run: the model, the attack with everything it needs, the images of each split to attack, and a
    fingerprint by cell."""

    found: FoundModel
    classifier: AnyClassifier
    attack: Attack
    generator: TrainedGan | None
    source: Mapping[Split, OpenSplit]
    fingerprints: Mapping[Cell, dict[str, Any]]

    @property
    def manifest(self) -> Manifest:
        """The manifest of the dataset that the images are in."""
        (variant,) = next(iter(self.source.values())).variants.values()
        return variant.manifest

    @property
    def counts(self) -> dict[Split, int]:
        return {split: sum(opened.rows) for split, opened in self.source.items()}

    @property
    def row_groups(self) -> list[tuple[Split, str, int, int]]:
        """(split, file, number, rows) of all row groups to attack."""
        return [
            (split, group.path, group.number, group.rows)
            for split, opened in self.source.items()
            for variant in opened.variants.values()
            for group in variant.row_groups
        ]

    def sentence(self) -> str:
        """A sentence for the console."""
        there = self.manifest.counts
        return ", ".join(f"{split}: {images:,} of {there[split]:,} images" for split, images in self.counts.items())

    def about(self) -> dict[str, Any]:
        """Facts for the manifests that do not affect any byte."""
        model = {"name": self.found.name, "run": self.found.run_id, "digest": self.classifier.digest}
        generator = {"generator": {"run": self.generator.about.get("run_id")}} if self.generator else {}
        return {"content_digest": self.manifest.content_digest, "model": model, **generator}

    def write_files(self, folder: Path) -> tuple[str, list[Path]]:
        """Writes the files for executors; returns the name of the classifier's file, and all files."""
        files = [folder / f"{folder.name}{self.classifier.suffix}"]  # a session accepts each name only once
        self.classifier.write(files[0])
        if self.generator:
            files.append(folder / file_name(self.generator.digest))
            self.generator.write(files[1])
        return files[0].name, files


def prepare(settings: AdversarialDatasets, found: FoundModel, classifier: AnyClassifier) -> AttackPlan:
    """Opens the images and checks that the model fits them. Raises StreamError, AttackError, and if a generator has to
    be found TrackingError and CheckpointError."""
    shape, data = classifier.shape, settings.data
    if classifier.no_gradients and settings.attack.needs_gradients:
        without = ", ".join(kind for kind, attack in ATTACKS.items() if not attack.needs_gradients)
        raise AttackError(
            f"{settings.model} {classifier.no_gradients}, which attack={settings.attack.kind} needs; attacks that do "
            f"without are {without}"
        )
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
    plan = AttackPlan(found, classifier, attack, generator, source, {})
    fingerprint = plan.manifest.fingerprint
    if ATTACKED in fingerprint:
        raise AttackError(
            f"data.variant={data.variant}: these images are already adversarial; attack clean or noisy ones"
        )
    if difference := classifier.difference(plan.manifest.card):
        raise AttackError(f"{settings.model} {difference}; choose a model that was trained on this dataset")
    budget = {attack.budget: getattr(attack, attack.budget)} if attack.budget else None
    fingerprints = {
        Cell(data.geometry, shape.size_px, shown.variant, classifier.digest): {
            "format_version": FORMAT_VERSION,
            **{key: fingerprint[key] for key in (*SAME_IN_ALL_VARIANTS, "noise") if key in fingerprint},
            ATTACKED: classifier.digest,
            "attacked_variant": data.variant,
            "attacked_digest": plan.manifest.content_digest,
            "attacked_splits": list(settings.splits),
            "attack": {"kind": attack.kind, **decisive_values(attack)},
            "strength": strength,
            "attack_seed": settings.seed,
            "batch_size": settings.batch_size,
            "compression": settings.compression,
            **({} if data.images is None else {"attacked_images": data.images}),
            **shown.facts,
            SHOWN_CURVE: settings.curve,
            SHOWN_STRENGTH: strength or budget,
        }
        for shown, strength in settings.shown.items()
    }
    return replace(plan, fingerprints=fingerprints)


def _with_generator(attack: Attack, size_px: int) -> tuple[Attack, TrainedGan | None]:
    if not isinstance(attack, Gan):
        return attack, None
    (found,) = find_models([attack.generator], experiment="gans")
    generator = read_generator(found.path, torch.device("cpu"), attack.generator)
    if generator.shape.size_px != size_px:
        raise AttackError(
            f"attack.generator={attack.generator} is for images of {generator.shape.size_px} px, the model for "
            f"{size_px} px; train one with data.size_px={size_px}"
        )
    return attack.model_copy(update={"generator": generator.digest}), generator


def _first_images(opened: OpenSplit, images: int | None) -> OpenSplit:
    """The split reduced to its first `images` images: complete row groups, the last of which is cut."""
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
