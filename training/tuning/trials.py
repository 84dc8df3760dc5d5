"""One trial: a tracked training whose settings the study proposes."""

import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from pipelines.console import make_console
from training.classifiers.run import TrackedClassifier
from training.classifiers.settings import TrainClassifier
from training.loop.ranks import Ranks
from training.loop.tracked_training import Command, run_training
from training.loop.training import DivergedError
from training.tracking import RunStoppedError
from training.tuning.settings import Trainings, Tune
from training.tuning.storage import StudyError, open_study, sampler

__all__ = ["Trials"]


class Trials(NamedTuple):
    """The trials of a study; `parent_run_id` is that of the study's run, `facts` those of a Command."""

    tune: Tune
    trainings: Trainings
    parent_run_id: str
    facts: Mapping[str, str]

    def run(self, study: optuna.Study, places: Iterable[int]) -> None:
        """One trial after the other, for these places in the study. Raises RoadsignError."""
        for place in places:
            study.sampler = sampler(self.tune, place)
            self._run_one(study, study.ask())

    def run_stored(self, places: Iterable[int]) -> None:
        """As run, on the stored study, in a process of its own. Raises RoadsignError."""
        try:
            self.run(open_study(self.tune), places)
        except StorageInternalError as error:
            raise StudyError(str(error)) from None

    def _run_one(self, study: optuna.Study, trial: optuna.Trial) -> None:
        console = make_console()
        values = {key: space.suggest(trial, key) for key, space in self.tune.study.search.items()}
        shown = ", ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
        )
        console.print(f"trial {trial.number}: {shown}")
        settings = self.trainings.load(values)
        line = shlex.join(["python", "jobs/train_classifier.py", *self.trainings.overrides(values)])
        opened: list[_Trial] = []

        def open_training(ranks: Ranks) -> _Trial:
            opened.append(_Trial(settings, ranks, trial, self.parent_run_id))
            return opened[-1]

        try:
            run_training(settings, Command(line, self.facts), open_training)
        except _PrunedError:
            study.tell(trial, state=TrialState.PRUNED)
            console.print(f"trial {trial.number}: pruned after epoch {opened[0].training.epoch}")
        except DivergedError as error:
            study.tell(trial, state=TrialState.FAIL)
            console.print(f"trial {trial.number}: failed: {error}")
        else:
            accuracy = opened[0].training.validation_accuracy
            study.tell(trial, accuracy)
            console.print(f"trial {trial.number}: {accuracy:.2%} of the validation images right")


class _PrunedError(RunStoppedError):
    """The pruner has ended the trial."""


class _Trial(TrackedClassifier):
    def __init__(self, settings: TrainClassifier, ranks: Ranks, trial: optuna.Trial, parent_run_id: str) -> None:
        super().__init__(settings, ranks)
        self.trial = trial
        self.parent_run_id = parent_run_id

    def train(self) -> None:
        assert self.run
        self.trial.set_user_attr("run_id", self.run.run_id)
        self.run.set_tags({"mlflow.parentRunId": self.parent_run_id, "trial": str(self.trial.number)})
        super().train()

    def after_checkpoint(self) -> None:
        training = self.training
        self.trial.report(training.metrics["accuracy/validation"], training.epoch)
        if training.epoch < self.settings.epochs and self.trial.should_prune():
            raise _PrunedError
