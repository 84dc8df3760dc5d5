"""The settings of jobs/train_robust.py."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.settings import choose, describe
from training.classifiers.settings import WITHOUT_EFFECT, TrainingRun, settings_fingerprint
from training.gans.wgan_gp import WganGp
from training.models import MODELS, Model
from training.streams.stream import Cache, Data

__all__ = ["TrainRobust"]

TO_LOOK_AT = {"samples"}


def _gan(given: object) -> Any:
    return given if isinstance(given, WganGp) else choose({"wgan_gp": WganGp}, given)


def _classifier(given: object) -> Any:
    return given if isinstance(given, Model) else choose(MODELS, given)


class TrainRobust(TrainingRun):
    """`gan` and, for each of `classifier_seeds`, two classifiers of equal initial weights, trained together on `data`.

    An iteration is one step of the generator; in it the critic takes gan.n_critic steps, each on a batch of its own,
    and in every `classifier_every`-th iteration each classifier takes one: the robust one on the iteration's last batch
    and as many generated images, the classic one on that batch alone. The generator is kept after every `keep_every`-th
    iteration.

    `lr` and `betas` are those of critic and generator, with Adam; classifiers use Adam with `classifier_lr`. `samples`:
    how many images of each kept generator the trained classifiers are evaluated on, equally many of each class."""

    gan: Annotated[WganGp, PlainValidator(_gan), PlainSerializer(describe)]
    classifier: Annotated[Model, PlainValidator(_classifier), PlainSerializer(describe)]
    data: Data
    iterations: int = Field(ge=1)
    keep_every: int = Field(ge=1)
    classifier_every: int = Field(default=2, ge=1)
    classifier_seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    lr: float = Field(gt=0, allow_inf_nan=False)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    classifier_lr: float = Field(gt=0, allow_inf_nan=False)
    batch_size: int = Field(ge=2)
    samples: int = Field(default=1000, ge=1)
    seed: int = Field(ge=0)
    cache: Cache = "host"

    @field_validator("gan")
    @classmethod
    def _makes_images_of_a_class(cls, gan: WganGp) -> WganGp:
        if not gan.conditional:
            raise ValueError("conditional: the classifier learns from images of known classes; leave it true")
        if gan.transition:
            raise ValueError("transition: is not supported here; leave it null")
        if gan.latent.is_image:
            raise ValueError(f"latent: {gan.latent.kind} is not supported here; use gaussian or uniform")
        return gan

    @field_validator("classifier")
    @classmethod
    def _starts_from_drawn_weights(cls, classifier: Model) -> Model:
        if classifier.weights != "none":
            raise ValueError("weights: classifiers start from drawn weights here; leave it at none")
        return classifier

    @field_validator("classifier_seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("contains duplicates")
        return seeds

    @model_validator(mode="after")
    def _ends_with_a_kept_generator(self) -> Self:
        if self.iterations % self.keep_every:
            raise ValueError(f"iterations: {self.iterations} is not a multiple of keep_every={self.keep_every}")
        if self.iterations < self.classifier_every:
            raise ValueError(f"iterations: the classifiers take no step in fewer than {self.classifier_every}")
        return self

    @property
    def epochs(self) -> int:
        """An epoch of the loop is `keep_every` iterations."""
        return self.iterations // self.keep_every

    def fingerprint(self, digests: Mapping[str, str], world_size: int) -> str:
        """Equal for two runs that must give the same weights on the same kind of machine."""
        return settings_fingerprint(self, WITHOUT_EFFECT | TO_LOOK_AT, digests, world_size)
