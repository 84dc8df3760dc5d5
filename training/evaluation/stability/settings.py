"""The settings of jobs/measure_stability.py."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import LocalPath, PathOrName, Settings, StorePath
from pipelines.store.schema import CLEAN, Split
from training.attacks.deepfool import Deepfool
from training.streams.stream import Data

__all__ = ["Ball", "MeasuredData", "Stability"]


class MeasuredData(Settings):
    """`size_px` null: the image size of the model. `images` null: all; else at most so many, in the order of a hash of
    their ids, which is a random sample, and the same for every model."""

    root: PathOrName
    geometry: str = "crop_or_pad"
    size_px: int | None = Field(default=None, ge=1)
    variant: str = CLEAN
    images: int | None = Field(default=None, ge=1)
    verify: bool = False


class Ball(Settings):
    """Slopes are measured at the image, at `points` random points of the L2 ball of `radius_l2` around it, and at
    `steps` points of a descent of the margin inside it. `radius_l2` is on the scale of [0, 1], over all values of an
    image."""

    radius_l2: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    points: int = Field(default=8, ge=0)
    steps: int = Field(default=8, ge=0)


class Stability(Settings):
    """`examples` of the least and of the most stable images are drawn. `groups` as in Evaluation."""

    model: PathOrName
    data: MeasuredData
    split: Split = "test"
    deepfool: Deepfool = Deepfool()
    ball: Ball = Ball()
    examples: int = Field(default=4, ge=1)
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=64, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output_root: StorePath = Path("data/stability")
    groups: Literal["recorded", "recovered"] = "recorded"
    groups_file: LocalPath = Path("data/groups/gtsrb-test.parquet")

    @model_validator(mode="after")
    def _distances_are_euclidean(self) -> Self:
        if self.deepfool.norm != "l2":
            raise ValueError(f"deepfool.norm: distances are in l2, got {self.deepfool.norm}")
        return self

    def data_at(self, size_px: int) -> Data:
        given = self.data
        return Data(root=given.root, geometry=given.geometry, size_px=given.size_px or size_px, verify=given.verify)
