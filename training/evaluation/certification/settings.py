"""The settings of jobs/certify_classifier.py."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.settings import LocalPath, PathOrName, Settings, StorePath, choose, describe
from pipelines.store.schema import Split
from training.attacks import ATTACKS, FixedStrength
from training.evaluation.certification.bounds import least_samples
from training.evaluation.certification.smoothing import CHUNK
from training.streams.stream import Data

__all__ = ["CertifiedData", "CertifyClassifier", "Method"]

Method = Literal["smoothing", "lipschitz"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _attack(given: object) -> FixedStrength:
    attack = given if isinstance(given, FixedStrength) else choose(ATTACKS, given)
    if not isinstance(attack, FixedStrength):
        raise ValueError(f"{attack.kind} has no strength; take one of a given strength, such as pgd")
    if attack.norm != "l2":
        raise ValueError(f"norm={attack.norm}: certificates are for L2 balls; set attack.norm=l2")
    return attack


class CertifiedData(Settings):
    """`size_px` null: the image size of the model. `images` null: all of the split; else so many, the first ones in
    the order of a hash of their ids: a random sample, the same for every model. `verify` as in Data."""

    root: PathOrName
    geometry: str = "crop_or_pad"
    size_px: int | None = Field(default=None, ge=1)
    images: int | None = Field(default=None, ge=1)
    verify: bool = False


class CertifyClassifier(Settings):
    """What `model` is proven to withstand at signal-to-noise ratios `snr_db`, in L2.

    `method` smoothing: randomized smoothing with a standard deviation of `sigma_grey`: `selection_samples` choose the
    class and `samples` bound its probability, which is wrong for an image with a probability of at most `alpha`.
    lipschitz: from the Lipschitz constant of the network. auto: lipschitz for a network that has one.

    `attack`, at each ratio, maximizes the loss of the mean probability over `attack_draws` of noise (0: of the network
    without noise); the smoothed class of the result is found with `attack_samples`. `batch_size` noisy images go
    through the network at a time."""

    model: PathOrName
    snr_db: Annotated[tuple[Finite, ...], Field(min_length=1)]
    method: Literal["auto", "smoothing", "lipschitz"] = "auto"
    sigma_grey: float = Field(gt=0, le=255)
    samples: int = Field(ge=1)
    selection_samples: int = Field(default=100, ge=1)
    alpha: float = Field(default=0.001, gt=0, lt=0.5)
    attack: Annotated[FixedStrength, PlainValidator(_attack), PlainSerializer(describe)]
    attack_draws: int = Field(default=8, ge=0, le=CHUNK)
    attack_samples: int = Field(default=500, ge=1)
    data: CertifiedData
    split: Split = "test"
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=CHUNK, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output_root: StorePath = Path("data/certifications")
    groups: Literal["recorded", "recovered"] = "recorded"
    groups_file: LocalPath = Path("data/groups/gtsrb-test.parquet")

    @field_validator("snr_db")
    @classmethod
    def _weakest_first(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(ratios)) < len(ratios):
            raise ValueError("contains duplicates")
        return tuple(sorted(ratios, reverse=True))

    @model_validator(mode="after")
    def _alpha_allows_it(self) -> Self:
        least = least_samples(self.alpha)
        if self.samples < least:
            raise ValueError(
                f"samples={self.samples}: even if all agree, the bound at alpha={self.alpha:g} is at most 1/2 and "
                f"nothing is certified; at least {least} are needed"
            )
        least = least_samples(self.alpha / 2)  # the test of an attacked image has two sides
        if self.attack_samples < least:
            raise ValueError(
                f"attack_samples={self.attack_samples}: too few to show anything at alpha={self.alpha:g}; at least "
                f"{least} are needed"
            )
        return self

    @property
    def std(self) -> float:
        """Of the noise, on the scale of [0, 1]."""
        return self.sigma_grey / 255

    def data_at(self, size_px: int) -> Data:
        """The data for models of this size."""
        given = self.data
        return Data(root=given.root, geometry=given.geometry, size_px=given.size_px or size_px, verify=given.verify)
