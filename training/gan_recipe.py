"""What a training run of a GAN is: the settings of jobs/train_gan.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, field_validator

from pipelines.settings import Settings, choose, describe
from training.data import Cache, Data
from training.gans import GANS, Gan
from training.gans.watch import Watch
from training.recipe import settings_fingerprint
from training.tracking import Tracking

__all__ = ["TrainGan"]

WITHOUT_EFFECT = {
    "device", "runs_root", "resume", "checkpoint_every_steps", "sample_every_steps", "tracking", "watch",
}  # fmt: skip


def _gan(given: object) -> Any:
    if isinstance(given, dict):  # a file of conf/gan/ also holds the recipe, to which the other keys refer
        given = {key: value for key, value in given.items() if key != "recipe"}
    return given if isinstance(given, Gan) else choose(GANS, given)


class TrainGan(Settings):
    """`gan` trained on the images of `data`, all or those of `classes`; a step takes batch_size · ranks of them.

    Both players learn with Adam. The generator that is kept is the moving average of its weights, where each step's
    average is ema_decay of the one before (0: the weights themselves). `sample_every_steps`: 0, or how often besides
    the end of each epoch the same latents are shown as a picture. `resume` as in recipe.TrainClassifier."""

    gan: Annotated[Gan, PlainValidator(_gan), PlainSerializer(describe)]
    data: Data
    classes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    epochs: int = Field(ge=1)
    lr: float = Field(gt=0, allow_inf_nan=False)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    batch_size: int = Field(ge=1)
    ema_decay: float = Field(ge=0, lt=1)
    seed: int = Field(ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    cache: Cache = "host"
    runs_root: Path
    resume: str = "never"
    checkpoint_every_steps: int = Field(default=0, ge=0, description="0: at the end of each epoch only")
    sample_every_steps: int = Field(default=0, ge=0, description="0: at the end of each epoch only")
    watch: Watch
    tracking: Tracking

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if classes is not None and len(set(classes)) < len(classes):
            raise ValueError("names a class twice")
        return classes

    def fingerprint(self, digests: Mapping[str, str], world_size: int) -> str:
        """The same for two runs that must give the same weights on the same kind of machine. `digests` are of the
        datasets and of the classifier, where there is one."""
        return settings_fingerprint(self, WITHOUT_EFFECT, digests, world_size)
