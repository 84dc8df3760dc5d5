"""A study from its settings to the best recipe."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna

from pipelines.console import make_console
from pipelines.errors import SettingsError
from pipelines.settings import decisive_values
from training.classifiers.run import TrackedClassifier
from training.classifiers.settings import WITHOUT_EFFECT, WITHOUT_EFFECT_IN_DATA
from training.loop.machine import machine_facts
from training.loop.ranks import ranks_on
from training.loop.tracked_training import Command
from training.loop.workers import run_in_workers
from training.tracking import TrackedRun, tracked_run
from training.tracking.runs import flattened
from training.tuning.report import Found, describe_found, write_best
from training.tuning.settings import Trainings, Tune
from training.tuning.storage import counted, held_study, settle_killed
from training.tuning.trials import Trials

__all__ = ["describe_study", "tune"]

BEST = "best.yaml"


def tune(settings: Tune, trainings: Trainings, command: Command) -> None:
    """Runs the study, or goes on with the one of this name, until it has `trials` trials. Raises RoadsignError."""
    console = make_console()
    decisive = _decisive(settings, trainings)
    with held_study(settings, decisive) as study:
        for number in settle_killed(study):
            console.print(f"trial {number}: was killed; it is marked as failed, and its settings are tried again")
        with _run_of(study, settings, trainings, command) as run:
            places = range(len(counted(study)), settings.trials)
            console.print(f"{settings.folder}: {len(places)} trials to go; run {run.run_id}")
            trials = Trials(settings, trainings, run.run_id, command.facts)
            if settings.workers > 1 and len(places) > 1:
                run_in_workers(trials.run_stored, places, settings.workers)
            else:
                trials.run(study, places)
            _finish(study, settings, trainings, run)


def describe_study(settings: Tune, trainings: Trainings) -> str:
    """What would be trained. Raises RoadsignError if it could not be."""
    with ranks_on("cpu", "float32") as ranks:
        training = TrackedClassifier(trainings.load({}), ranks)
    return f"{settings.folder}: up to {settings.trials} trials like this one: {training.describe()}"


def _finish(study: optuna.Study, settings: Tune, trainings: Trainings, run: TrackedRun) -> None:
    found, path = Found.of(study), settings.folder / BEST
    write_best(found, trainings, path)
    run.log_file(path)
    run.log_json("importances.json", {key: list(each) for key, each in found.importances.items()})
    run.log_metrics({"best/accuracy/validation": found.best.value or 0.0, "best/trial": found.best.number})
    make_console().print(*describe_found(study, found, path), sep="\n")


def _decisive(settings: Tune, trainings: Trainings) -> dict[str, Any]:
    """What decides the trials of a study, besides the results of the earlier ones; the data by their digests. Opens the
    data, so that a study without them ends here. Raises RoadsignError."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("torchrun: a study trains on one device; use workers=… for several trials at a time")
    training = trainings.load({})
    with ranks_on("cpu", "float32") as ranks:
        digests = TrackedClassifier(training, ranks).digests
    fixed = decisive_values(training, WITHOUT_EFFECT)
    fixed["data"] = {key: value for key, value in fixed["data"].items() if key not in WITHOUT_EFFECT_IN_DATA}
    own = settings.model_dump(mode="json", exclude={"trials", "workers", "output_root", "study"})
    search = settings.study.model_dump(mode="json", exclude_none=True)["search"]
    searched = {f"search.{key}": space for key, space in search.items()}
    data = {f"digest of {name}": digest for name, digest in digests.items()}
    return {**own, **searched, **flattened(fixed), **data}


@contextmanager
def _run_of(study: optuna.Study, settings: Tune, trainings: Trainings, command: Command) -> Iterator[TrackedRun]:
    """The tracked run of the study, of which the runs of its trials are children."""
    training = trainings.load({})
    tracking = training.tracking.model_copy(update={"system_metrics_every_s": 0.0})
    facts: Mapping[str, str] = {**command.facts, **machine_facts()}
    values = settings.model_dump(mode="json", exclude_none=True)
    known = study.user_attrs.get("run_id")
    name = f"study-{settings.study.name}"
    with tracked_run(tracking, settings.folder, name, values, command.line, [], facts, known) as run:
        study.set_user_attr("run_id", run.run_id)
        yield run
