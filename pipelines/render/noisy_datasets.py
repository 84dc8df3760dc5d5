"""The settings of jobs/make_noisy_datasets.py: which sizes, noises and levels a run makes."""

import hashlib
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.datasets import DATASETS, DatasetCard, ImageSource, detect_kind
from pipelines.geometry import GEOMETRIES, Geometry
from pipelines.noise import NOISES, Noise
from pipelines.places import Place
from pipelines.render.rendering import Rendering
from pipelines.settings import Settings, StorePath, build_member, choose, describe
from pipelines.store.schema import CLEAN, FORMAT_VERSION, SPLITS, Cell, Split
from pipelines.store.shown import Shown

__all__ = ["NoisyDatasets", "levels_of"]

LEVEL = r"\w[\w.]*"


def _dataset(given: object) -> Any:
    if given == "auto":
        given = {"kind": given}
    if isinstance(given, dict):
        values = {key: value for key, value in given.items() if value is not None}
        kind = values.get("kind", "auto")
        values["kind"] = detect_kind(values) if kind == "auto" else kind
        given = values
    return choose(DATASETS, given)


def levels_of(given: object) -> dict[str, Noise]:
    """Builds the noises by variant name: {"gaussian": {"overflow": …, "levels": {"min": {"std_grey": 5.0}}}} becomes
    {"gaussian-min": Gaussian(…)}, and so does {"gaussian-min": {"kind": "gaussian", …}}, as resolved settings have
    it."""
    if not isinstance(given, dict):
        raise ValueError("expected a menu of conf/noise/ or noises by name, for example noise=paper")
    noises: dict[str, Noise] = {}
    for kind, settings in given.items():
        if isinstance(settings, dict) and re.fullmatch(f"{settings.get('kind')}-{LEVEL}", str(kind)):
            noises[kind] = choose(NOISES, settings)
            continue
        if kind not in NOISES:
            raise ValueError(f"{kind}: unknown noise; there are: {', '.join(NOISES)}")
        if not isinstance(settings, dict) or not isinstance(settings.get("levels"), dict):
            raise ValueError(f"{kind}: expected settings with levels: {{min: {{…}}, …}}, got {settings!r}")
        shared = {key: value for key, value in settings.items() if key != "levels"}
        for level, own in settings["levels"].items():
            if not re.fullmatch(LEVEL, str(level)) or not isinstance(own, dict | None):
                raise ValueError(
                    f"{kind}.levels.{level}: expected a name of letters and digits with its settings, got {own!r}"
                )
            noises[f"{kind}-{level}"] = build_member(NOISES[kind], {**shared, **(own or {})}, f"{kind}.levels.{level}.")
    return noises


class NoisyDatasets(Settings):
    """One run: every image of `dataset` in every one of `variants` and `sizes_px`.

    `noise` comes from the menus in conf/noise/ and maps variant names to noises; `variants` is "all", "noisy" for all
    but clean, or a selection of "clean" and these names. `validation_fraction` of each class's groups become the
    validation split; of the others, a `train_fraction` is kept. `images_per_part` and `images_per_row_group` determine
    the files from the data alone; `partitions` is the number of Spark tasks that share the parts (by default one task
    per part) and does not change the output. `verify` reads existing variants and makes those again that do not match
    their manifests. `batch_id` identifies the retraining that the run belongs to, and is recorded in the manifests."""

    dataset: Annotated[ImageSource, PlainValidator(_dataset), PlainSerializer(describe)]
    output_root: StorePath
    geometry: Annotated[Geometry, PlainValidator(lambda given: choose(GEOMETRIES, given)), PlainSerializer(describe)]
    sizes_px: tuple[Annotated[int, Field(ge=8, le=512)], ...] = Field(min_length=1)
    noise: Annotated[
        dict[str, Noise],
        PlainValidator(levels_of),
        PlainSerializer(lambda noises: {name: describe(noise) for name, noise in noises.items()}),
    ]
    variants: Literal["all", "noisy"] | Annotated[tuple[str, ...], Field(min_length=1)]
    seed: int = Field(ge=0)
    splits: tuple[Split, ...] = Field(min_length=1)
    validation_fraction: float = Field(ge=0, lt=1)
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    max_rejected_fraction: float = Field(ge=0, le=1)
    images_per_part: int = Field(ge=1)
    images_per_row_group: int = Field(ge=1, le=4000)
    compression: Literal["none", "zstd"]
    partitions: int | None = Field(default=None, ge=1)
    verify: bool = False
    batch_id: str | None = None

    @field_validator("sizes_px", "splits", "variants")
    @classmethod
    def _each_once(cls, values: tuple[object, ...] | str) -> tuple[object, ...] | str:
        if isinstance(values, tuple) and len(set(values)) < len(values):
            raise ValueError("contains duplicates")
        return values

    @field_validator("splits")
    @classmethod
    def _in_order(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        return tuple(split for split in SPLITS if split in splits)

    @model_validator(mode="after")
    def _variants_exist(self) -> Self:
        known = (CLEAN, *self.noise)
        if isinstance(self.variants, tuple) and (unknown := [name for name in self.variants if name not in known]):
            raise ValueError(f"variants: unknown: {', '.join(unknown)}; with this noise there are: {', '.join(known)}")
        return self

    @property
    def chosen(self) -> dict[str, Noise | None]:
        """The noise of each variant to make; None for clean."""
        all_noises: dict[str, Noise | None] = {CLEAN: None, **self.noise}
        if self.variants == "noisy":
            return {**self.noise}
        return {name: noise for name, noise in all_noises.items() if self.variants == "all" or name in self.variants}

    @property
    def cells(self) -> list[Cell]:
        return [Cell(self.geometry.kind, size, variant) for size in self.sizes_px for variant in self.chosen]

    @property
    def dataset_folder(self) -> Place:
        return self.output_root / self.dataset.dataset_name

    def rendering(self, channels: int) -> Rendering:
        return Rendering(self.geometry, self.sizes_px, self.chosen, self.seed, channels)

    def fingerprint(self, cell: Cell, source_digest: str, card: DatasetCard) -> dict[str, Any]:
        """Everything that determines a variant's bytes and card, and how it is shown. Changes of the code are covered
        by schema.FORMAT_VERSION."""
        noise = self.chosen[cell.variant]
        shown = Shown() if noise is None else Shown(noise.kind, cell.variant.removeprefix(f"{noise.kind}-"))
        values = self.model_dump(
            mode="json",
            include={"seed", "splits", "validation_fraction", "images_per_part", "images_per_row_group", "compression"},
        )
        if self.train_fraction < 1:
            values["train_fraction"] = self.train_fraction  # not with 1, as older data sets have no such key
        return {
            **values,
            "format_version": FORMAT_VERSION,
            "dataset": self.dataset.dataset_name,
            "card_digest": hashlib.sha256(card.model_dump_json().encode()).hexdigest(),
            "source_digest": source_digest,
            "geometry": describe(self.geometry),
            "size_px": cell.size_px,
            "noise": None if noise is None else describe(noise),
            **shown.facts,
        }
