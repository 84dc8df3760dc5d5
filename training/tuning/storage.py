"""A study on disk: an SQLite file in its folder, which one command at a time works on."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from pipelines.errors import RoadsignError
from training.tracking.locks import FolderError, lock_folder
from training.tuning.settings import Tune

__all__ = ["StudyError", "counted", "held_study", "open_study", "sampler", "settle_killed"]

SETTINGS = "settings"
RETRIES = "retries"
"""Attributes: of a study, what decides its trials; of a trial, the number of the killed one whose settings it has."""
PATIENCE_S = 60.0
"""Seconds that a worker waits for another one to write."""
LOCKED_S = 5.0
"""Seconds that the start waits for another program."""


class StudyError(RoadsignError):
    """A study cannot be started, or cannot go on."""


@contextmanager
def held_study(tune: Tune, decisive: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """The study of this name, new or that of earlier commands, locked until the end of the block. `decisive` are the
    settings and the data that decide what its trials are. Raises StudyError if it was started with others."""
    try:
        with lock_folder(tune.folder):
            _check_database(tune.folder / "study.db")
            study = open_study(tune)
            _check_settings(study, tune, decisive)
            yield study
    except FolderError as error:
        why = "another command works on this study; wait for it, or stop it" if error.busy else error.reason
        raise StudyError(f"{tune.folder}: {why}") from None
    except optuna.exceptions.StorageInternalError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise StudyError(f"{tune.folder / 'study.db'}: {reason}; run the same command again") from None


def open_study(tune: Tune) -> optuna.Study:
    """For the process that holds it, and for its workers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = (tune.folder / "study.db").absolute()
    if found := [character for character in "?%" if character in str(database)]:
        raise StudyError(f"{database}: a study cannot be in a folder with {found[0]} in its name; set output_root")
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{database}", engine_kwargs={"connect_args": {"timeout": PATIENCE_S}}
    )
    return optuna.create_study(
        storage=storage, study_name=tune.study.name, direction="maximize", pruner=_pruner(tune), load_if_exists=True
    )


def sampler(tune: Tune, place: int) -> optuna.samplers.BaseSampler:
    """For the trial of this place in the study. Its random numbers are of the seed and the place alone, so that a study
    of one worker proposes the same settings however often it is stopped."""
    seed = int(np.random.SeedSequence([tune.sampler_seed, place]).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=tune.startup_trials)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended by themselves: finished, pruned or failed, but not killed."""
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRIES) for trial in trials}
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [trial for trial in trials if trial.state in ended and trial.number not in retried]


def settle_killed(study: optuna.Study) -> list[int]:
    """Marks trials as failed whose process was killed, and has their settings tried again, first of all. Returns their
    numbers."""
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRIES) for trial in trials}
    killed = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in killed:
        if trial.number not in retried:
            study.enqueue_trial(trial.params, user_attrs={RETRIES: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)
    return [trial.number for trial in killed]


def _pruner(tune: Tune) -> optuna.pruners.BasePruner:
    if tune.pruning == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=tune.warmup_epochs)
    if tune.pruning == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=tune.warmup_epochs, reduction_factor=2)
    return optuna.pruners.NopPruner()


def _check_settings(study: optuna.Study, tune: Tune, decisive: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(decisive))
    before = study.user_attrs.get(SETTINGS)
    if before is None:
        study.set_user_attr(SETTINGS, now)
    elif differing := sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)):
        raise StudyError(
            f"{tune.folder}: was started with other settings: "
            + "; ".join(f"{key} was {json.dumps(before.get(key))}, is {json.dumps(now.get(key))}" for key in differing)
            + "; give the same ones, or start another study with study.name=…"
        )


def _check_database(path: Path) -> None:
    """Raises StudyError if another program has locked it, or if it is no database."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=LOCKED_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        why = (
            "is locked by another program; close that one, then run the same command again"
            if "locked" in str(error)
            else f"is not a database that SQLite can read ({error}); move it away, or start another with study.name=…"
        )
        raise StudyError(f"{path}: {why}") from None
