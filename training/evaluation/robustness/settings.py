"""The settings of an evaluation: which models are shown which images, and what else is made."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from pipelines.settings import LocalPath, PathOrName, Settings, StorePath
from pipelines.store.schema import CLEAN, Split
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.classifiers.variants import has_images, variants_of
from training.evaluation.saliency.settings import Saliency
from training.evaluation.units.settings import UnitLoad
from training.streams.stream import Data
from training.streams.variant_names import names_meant

__all__ = ["EvaluatedData", "Evaluation", "ShownImages"]


class EvaluatedData(Settings):
    """`size_px` null: the image size of each model. `verify` as in Data."""

    root: PathOrName
    geometry: str = "crop_or_pad"
    size_px: int | None = Field(default=None, ge=1)
    verify: bool = False


class ShownImages(Settings):
    """Which models are shown which images. `variants` are all that the dataset has, or some by name. Where the dataset
    does not say which images show one object, `groups` is whether that stays unknown or is taken from `groups_file`,
    which jobs/recover_tracks.py makes."""

    models: tuple[PathOrName, ...] = Field(min_length=1)
    data: EvaluatedData
    variants: Literal["all"] | tuple[str, ...] = "all"
    split: Split = "test"
    batch_size: int = Field(default=512, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output_root: StorePath
    groups: Literal["recorded", "recovered"] = "recorded"
    groups_file: LocalPath = Path("data/groups/gtsrb-test.parquet")

    @field_validator("models", mode="before")
    @classmethod
    def _as_tuple(cls, models: Any) -> Any:
        if isinstance(models, str):
            return (models,)
        return tuple(models) if isinstance(models, list) else models

    def data_at(self, size_px: int) -> Data:
        """The data that models of this size are shown."""
        given = self.data
        return Data(root=given.root, geometry=given.geometry, size_px=given.size_px or size_px, verify=given.verify)

    def variants_in(self, data: Data) -> tuple[list[str], list[str]]:
        """Those that are shown, and those that "all" leaves out because they have no images of the split. Raises
        EvaluationError if the dataset exists but lacks a requested variant."""
        if self.variants == "all":
            found = variants_of(data)
            shown = [variant for variant in found if has_images(data, variant, self.split)]
            if not shown:  # the stream says what is there, and names the job that makes it
                return found[:1] or [CLEAN], []
            return shown, [variant for variant in found if variant not in shown]
        found = variants_of(data, self.split)
        if found and (unknown := [variant for variant in self.variants if not names_meant(variant, found)]):
            raise EvaluationError(
                f"variants: {', '.join(unknown)} not in {data.root}, {data.geometry}, {data.size_px} px; "
                f"there are: {', '.join(found)}"
            )
        meant = (names_meant(variant, found) or [variant] for variant in self.variants)
        return list(dict.fromkeys(name for names in meant for name in names)), []


class Evaluation(ShownImages):
    """What jobs/evaluate_classifiers.py makes besides."""

    output_root: StorePath = Path("data/evaluations")
    saliency: Saliency = Saliency()
    unit_load: UnitLoad = UnitLoad()
