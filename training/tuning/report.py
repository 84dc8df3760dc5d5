"""What a study has found: its best trial, what mattered, and the settings to train with."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from pipelines.settings import to_yaml
from pipelines.store.atomic_file import atomic_file
from training.classifiers.settings import WITHOUT_EFFECT
from training.tuning.settings import Trainings
from training.tuning.storage import StudyError, counted

__all__ = ["Found", "describe_found", "write_best"]

FORESTS = 20
ASSUMPTIONS = (
    "The share of the variance of the validation accuracy that a key makes alone (fANOVA: F. Hutter, H. Hoos, K. "
    "Leyton-Brown, 2014), by a random forest over the finished trials; mean ± standard deviation of {forests} forests. "
    "Pruned trials are not among them, trials are densest where the accuracy was high, the shares hold only within the "
    "ranges of this study, and few trials leave them uncertain."
)


class Found(NamedTuple):
    """`importances`: of each key, mean and standard deviation over forests; empty if `not_known` says why."""

    best: FrozenTrial
    importances: dict[str, tuple[float, float]]
    not_known: str

    @classmethod
    def of(cls, study: optuna.Study) -> "Found":
        """Raises StudyError if no trial has finished."""
        if not (finished := study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))):
            raise StudyError("no trial has finished: all were pruned or failed; see their runs, or raise trials")
        if len({trial.value for trial in finished}) < 2:
            return cls(study.best_trial, {}, "fewer than two finished trials, or all of one accuracy")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            shares = [
                get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed), normalize=False)
                for seed in range(FORESTS)
            ]
        means = {key: float(np.mean([one[key] for one in shares])) for key in shares[0]}
        ordered = sorted(means, key=lambda key: -means[key])
        spreads = {key: float(np.std([one[key] for one in shares], ddof=1)) for key in ordered}
        return cls(study.best_trial, {key: (means[key], spreads[key]) for key in ordered}, "")


def write_best(found: Found, trainings: Trainings, path: Path) -> None:
    """The settings of the best trial, for jobs/train_classifier.py --config; without those that are of a run and not
    of a recipe."""
    settings = trainings.load(found.best.params)
    with atomic_file(path) as partial:
        partial.write_text(
            f"# python jobs/train_classifier.py --config {path.name}\n"
            f"# Trial {found.best.number} of a study: {found.best.value:.4%} of the validation images right.\n"
            + to_yaml(settings, without=WITHOUT_EFFECT)
        )


def describe_found(study: optuna.Study, found: Found, path: Path) -> list[str]:
    """Lines for the console."""
    states = [trial.state for trial in counted(study)]
    count = {state: states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)}
    lines = [
        f"{len(states)} trials: {count[TrialState.COMPLETE]} finished, {count[TrialState.PRUNED]} pruned, "
        f"{count[TrialState.FAIL]} failed",
        f"best: trial {found.best.number}, {found.best.value:.4%} of the validation images right; the highest of "
        "these trials, so expect less on other images",
        *(f"  {key}={value}" for key, value in found.best.params.items()),
    ]
    if found.not_known:
        lines.append(f"importance of the keys: not known: {found.not_known}")
    else:
        lines += ["importance of the keys:"]
        lines += [f"  {key} {mean:.2f} ± {sd:.2f}" for key, (mean, sd) in found.importances.items()]
        lines.append(ASSUMPTIONS.format(forests=FORESTS))
    return [*lines, f"settings: {path}"]
