"""The settings of jobs/tune.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from pipelines.errors import SettingsError
from pipelines.settings import LocalPath, Settings, load
from training.classifiers.settings import WITHOUT_EFFECT, WITHOUT_EFFECT_IN_DATA, TrainClassifier
from training.tuning.space import Space, override

__all__ = ["Study", "Trainings", "Tune"]

OURS = ("runs_root", "resume", "launcher", "processes", "tracking.register_as")
"""Keys of a training that the study sets itself."""
NOT_SEARCHED = {
    *WITHOUT_EFFECT, *(f"data.{key}" for key in WITHOUT_EFFECT_IN_DATA),
    "seed", "data.mixture", "data.validation_mixture",
}  # fmt: skip


class Study(Settings):
    """`search`: the values of each key, such as lr or augmentation.gamma, that trials choose from. `settings`: other
    settings, as on the command line of jobs/train_classifier.py, the same in all trials."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    settings: tuple[str, ...] = ()
    search: dict[str, Space] = Field(min_length=1)

    @field_validator("search")
    @classmethod
    def _decides_and_is_fair(cls, search: dict[str, Space]) -> dict[str, Space]:
        for key in search:
            if any(_within(key, other) for other in NOT_SEARCHED):
                raise ValueError(
                    f"{key}: cannot be searched: it does not change the weights, or the best value would be that of "
                    "the luckiest seed or the easiest images"
                )
            if inside := [other for other in search if other != key and _within(other, key)]:
                raise ValueError(f"{inside[0]}: is a part of {key}, which is searched too")
        return search


class Tune(Settings):
    """`trials`: how many the study has at its end, those of earlier commands included; pruned and failed ones count,
    killed ones do not. `workers` processes train at the same time on one device.

    Trials are proposed by TPE (J. Bergstra et al., "Algorithms for hyper-parameter optimization", 2011), the first
    `startup_trials` at random. `pruning` ends a trial early: "median" if its best accuracy so far is below the median
    of the others at this epoch, but not in the first `warmup_epochs`; "successive_halving" keeps a half at epochs
    warmup_epochs, 2 · warmup_epochs, 4 · warmup_epochs … (L. Li et al., "A system for massively parallel hyperparameter
    tuning", 2020)."""

    study: Study
    trials: int = Field(ge=1)
    workers: int = Field(default=1, ge=1, le=64)
    sampler_seed: int = Field(default=0, ge=0)
    startup_trials: int = Field(default=8, ge=1)
    pruning: Literal["none", "median", "successive_halving"] = "median"
    warmup_epochs: int = Field(default=2, ge=1)
    split: str = "validation"
    output_root: LocalPath

    @field_validator("split")
    @classmethod
    def _is_not_test(cls, split: str) -> str:
        if split != "validation":
            raise ValueError(
                f"trials are judged on validation, got {split!r}: settings that were chosen on the test images have no "
                "independent test left"
            )
        return split

    @property
    def folder(self) -> Path:
        return self.output_root / self.study.name


class Trainings(NamedTuple):
    """The trainings of a study: `config` is that of jobs/train_classifier.py, `fixed` the settings that all have."""

    config: Path
    fixed: tuple[str, ...]

    @classmethod
    def of(cls, tune: Tune, config: Path, given: Sequence[str]) -> "Trainings":
        """`given`: further settings of the command line. Raises SettingsError for settings that contradict the study,
        and if a value of the search is not one of a training."""
        settings = [*tune.study.settings, *given]
        for setting in settings:
            key = setting.partition("=")[0]
            if any(_within(key, ours) or key == ours.partition(".")[0] for ours in OURS):
                raise SettingsError(f"{setting}: the study sets {key} itself; remove it")
            if found := [searched for searched in tune.study.search if _within(key, searched)]:
                raise SettingsError(f"{setting}: the study searches {found[0]}; set it or search it, but not both")
        ours = [f"runs_root={tune.folder / 'runs'}", "resume=auto"]
        trainings = cls(config, ("tracking.experiment=tuning", *settings, *ours))
        trainings.load({})
        for key, space in tune.study.search.items():
            for example in space.examples:
                try:
                    trainings.load({key: example})
                except SettingsError as error:
                    refused = f"study.search.{key}: {override(key, example)} is refused"
                    raise SettingsError(f"{refused}: {error}") from None
        return trainings

    def overrides(self, values: dict[str, Any]) -> list[str]:
        return [*self.fixed, *(override(key, value) for key, value in values.items())]

    def load(self, values: dict[str, Any]) -> TrainClassifier:
        """Raises SettingsError."""
        return load(TrainClassifier, self.config, self.overrides(values))


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.")
