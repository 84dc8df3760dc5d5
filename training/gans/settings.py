"""The settings of jobs/train_gan.py."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, field_validator

from pipelines.settings import choose, describe
from training.classifiers.settings import WITHOUT_EFFECT, TrainingRun, settings_fingerprint
from training.gans import GANS, GanArchitecture
from training.gans.watch import Watch
from training.streams.stream import Cache, Data

__all__ = ["TrainGan"]

TO_LOOK_AT = {"sample_every_steps", "keep_epochs", "watch"}


def _gan(given: object) -> Any:
    return given if isinstance(given, GanArchitecture) else choose(GANS, given)


class TrainGan(TrainingRun):
    """`gan` trained on the images of `data`, all or those of `classes`; a step takes batch_size · ranks of them.

    Both players use Adam. The generator that is kept is the moving average of its weights, with decay `ema_decay` per
    step (0: the weights themselves). `sample_every_steps`: how often, besides the end of each epoch, samples of the
    same latents are drawn; 0: only then. `keep_epochs`: after which epochs the generator is kept besides the last one,
    as epoch-0020.pt."""

    gan: Annotated[GanArchitecture, PlainValidator(_gan), PlainSerializer(describe)]
    data: Data
    classes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    epochs: int = Field(ge=1)
    lr: float = Field(gt=0, allow_inf_nan=False)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    batch_size: int = Field(ge=1)
    ema_decay: float = Field(ge=0, lt=1)
    seed: int = Field(ge=0)
    cache: Cache = "host"
    sample_every_steps: int = Field(default=0, ge=0, description="0: only at the end of each epoch")
    keep_epochs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    watch: Watch

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if classes is not None and len(set(classes)) < len(classes):
            raise ValueError("contains duplicates")
        return classes

    def fingerprint(self, digests: Mapping[str, str], world_size: int) -> str:
        """Equal for two runs that must give the same weights on the same kind of machine. `digests` are those of the
        datasets and of the classifier, if there is one."""
        return settings_fingerprint(self, WITHOUT_EFFECT | TO_LOOK_AT, digests, world_size)
