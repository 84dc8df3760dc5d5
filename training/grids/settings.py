"""The settings of jobs/run_grid.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from pipelines.errors import SettingsError
from pipelines.settings import LocalPath, Settings, choose, describe, load
from pipelines.store.schema import Split
from pipelines.store.shown import Shown
from training.attacks import ATTACKS, Attack, Eps, FixedStrength, SnrDb, Strength
from training.classifiers.settings import TrainClassifier

__all__ = ["Grid", "GridAttack", "RunGrid", "Trainings"]

OURS = ("seed", "runs_root", "resume", "launcher", "processes", "tracking.register_as", "train_on")
"""Keys of a training that the grid sets itself."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _attack(given: object) -> FixedStrength:
    attack = choose(ATTACKS, given)
    if not isinstance(attack, FixedStrength):
        raise ValueError(f"{attack.kind} has no strength; a grid compares accuracies at given strengths")
    return attack


class GridAttack(Settings):
    """`attack` at signal-to-noise ratios `snr_db`, or at radii `eps` on the scale of [0, 1], on `images` test images:
    the first ones in the order of a hash of their ids, a random sample; null: all. Against each network of the grid, as
    it is (white box)."""

    attack: Annotated[Attack, PlainValidator(_attack), PlainSerializer(describe)]
    snr_db: tuple[Finite, ...] = ()
    eps: tuple[Annotated[Finite, Field(gt=0, le=1)], ...] = ()
    images: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_kind_of_strength(self) -> Self:
        if bool(self.snr_db) == bool(self.eps):
            raise ValueError(f"{self.attack.kind} needs snr_db: [50, 45, 40, 33] or eps: [0.03], one of the two")
        return self

    @property
    def strengths(self) -> dict[Shown, Strength]:
        """From the weakest to the strongest, by how they are shown."""
        name = self.attack.variant
        if self.eps:
            return {Shown(name, f"eps{eps:.4g}"): Eps(eps) for eps in sorted(self.eps)}
        return {Shown(name, f"snr{ratio:.4g}"): SnrDb(ratio) for ratio in sorted(self.snr_db, reverse=True)}


class Grid(Settings):
    """`rows`: by name the settings that make a row, as on the command line of jobs/train_classifier.py; `settings` are
    those of all rows, which a row may change."""

    name: Name
    settings: tuple[str, ...] = ()
    rows: dict[Name, tuple[str, ...]] = Field(min_length=1)
    attacks: tuple[GridAttack, ...] = ()

    @field_validator("attacks")
    @classmethod
    def _each_once(cls, attacks: tuple[GridAttack, ...]) -> tuple[GridAttack, ...]:
        shown = [one for attack in attacks for one in attack.strengths]
        if twice := {one.variant for one in shown if shown.count(one) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: is there more than once")
        return attacks


class RunGrid(Settings):
    """Each row of `grid` with each of `seeds` is trained and evaluated on the images of `split`: on the variants of the
    data set (`variants`, or all), and under the attacks of the grid. `rows`: some of them. `groups` and `groups_file`
    as in jobs/evaluate_classifiers.py. `attack_batch_size` images are attacked at a time. `workers` processes train and
    evaluate at the same time on one device, which a small network uses better than one."""

    grid: Grid
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    rows: tuple[str, ...] | None = None
    split: Split = "test"
    variants: Literal["all"] | tuple[str, ...] = "all"
    groups: Literal["recorded", "recovered"] = "recorded"
    groups_file: LocalPath = Path("data/groups/gtsrb-test.parquet")
    attack_batch_size: int = Field(default=256, ge=1)
    workers: int = Field(default=1, ge=1, le=64)
    output_root: LocalPath

    @model_validator(mode="after")
    def _rows_are_there(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: contains duplicates")
        if unknown := [row for row in self.rows or () if row not in self.grid.rows]:
            raise ValueError(f"rows: {unknown} are not in the grid; there are: {', '.join(self.grid.rows)}")
        return self

    @property
    def chosen(self) -> dict[str, tuple[str, ...]]:
        return {row: settings for row, settings in self.grid.rows.items() if self.rows is None or row in self.rows}

    @property
    def folder(self) -> Path:
        return self.output_root / self.grid.name


class Trainings(NamedTuple):
    """The trainings of a grid: `config` is that of jobs/train_classifier.py, `given` the settings of the command
    line, which go before those of a row."""

    grid: RunGrid
    config: Path
    given: tuple[str, ...]

    @classmethod
    def of(cls, grid: RunGrid, config: Path, given: Sequence[str]) -> "Trainings":
        """Raises SettingsError if a row cannot be trained."""
        trainings = cls(grid, config, tuple(given))
        for row, settings in {"": (*grid.grid.settings, *given), **grid.chosen}.items():
            for setting in settings:
                key = setting.partition("=")[0]
                if any(key == ours or key == ours.partition(".")[0] for ours in OURS):
                    within = f"row {row}: " if row else ""
                    raise SettingsError(f"{within}{setting}: the grid sets {key} itself; remove it")
        for row in grid.chosen:
            try:
                trainings.load(row, grid.seeds[0])
            except SettingsError as error:
                raise SettingsError(f"row {row}: {error}") from None
        return trainings

    def overrides(self, row: str, seed: int) -> list[str]:
        ours = [f"seed={seed}", f"runs_root={self.grid.folder / 'runs'}", "resume=auto"]
        own = self.grid.grid
        return ["tracking.experiment=grids", *own.settings, *self.given, *own.rows[row], *ours]

    def load(self, row: str, seed: int) -> TrainClassifier:
        """Raises SettingsError."""
        return load(TrainClassifier, self.config, self.overrides(row, seed))
