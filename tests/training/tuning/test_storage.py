"""A study on disk, between the commands that work on it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from pipelines.settings import load
from training.tracking.locks import lock_folder
from training.tuning.settings import Tune
from training.tuning.storage import StudyError, counted, held_study, open_study, sampler, settle_killed

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture
def settings(tmp_path: Path) -> Tune:
    given = ["study=baseline_cnn", f"output_root={tmp_path}", "startup_trials=3", "study.name=one"]
    return load(Tune, CONF / "tune.yaml", given)


def ask(study: optuna.Study, settings: Tune) -> optuna.Trial:
    study.sampler = sampler(settings, len(counted(study)))
    trial = study.ask()
    for key, space in settings.study.search.items():
        space.suggest(trial, key)
    return trial


def accuracy(values: dict[str, Any]) -> float:
    """Some function of the settings."""
    return float(1 / (1 + abs(values["lr"] - 0.004) + values["model.dropout"]))


def finish(study: optuna.Study, settings: Tune, trials: int) -> list[dict[str, Any]]:
    while len(counted(study)) < trials:
        trial = ask(study, settings)
        study.tell(trial, accuracy(trial.params))
    return [trial.params for trial in counted(study)]


def test_a_study_that_was_killed_proposes_what_an_undisturbed_one_does(settings: Tune, tmp_path: Path) -> None:
    with held_study(settings.model_copy(update={"output_root": tmp_path / "undisturbed"}), {}) as study:
        expected = finish(study, settings, 8)
    assert len({str(values) for values in expected}) == 8
    for trials in (2, 5, 8):
        with held_study(settings, {}) as study:
            settle_killed(study)
            finish(study, settings, trials)
            if trials < 8:
                ask(study, settings)  # is running when the process is killed
    with held_study(settings, {}) as study:
        assert [trial.params for trial in counted(study)] == expected
        assert [trial.state for trial in study.trials].count(TrialState.FAIL) == 2


def test_a_killed_trial_is_failed_and_its_settings_come_next(settings: Tune) -> None:
    with held_study(settings, {}) as study:
        killed = ask(study, settings)
    with held_study(settings, {}) as study:
        assert settle_killed(study) == [killed.number]
        assert settle_killed(study) == []
        assert counted(study) == []
        again = ask(study, settings)
        assert (again.params, again.user_attrs) == (killed.params, {"retries": killed.number})
        study.tell(again, 0.5)
        assert [trial.number for trial in counted(study)] == [again.number]


def test_a_trial_that_failed_by_itself_counts(settings: Tune) -> None:
    with held_study(settings, {}) as study:
        study.tell(ask(study, settings), state=TrialState.FAIL)
        assert len(counted(study)) == 1


def test_another_seed_of_the_sampler_proposes_other_settings(settings: Tune, tmp_path: Path) -> None:
    other = settings.model_copy(update={"sampler_seed": 1, "output_root": tmp_path / "other"})
    with held_study(settings, {}) as study, held_study(other, {}) as others:
        assert finish(study, settings, 2) != finish(others, other, 2)


def test_a_study_whose_settings_have_changed_is_refused(settings: Tune) -> None:
    with held_study(settings, {"search.lr": {"low": 0.1, "high": 0.2}, "epochs": 3}):
        pass
    with (
        pytest.raises(StudyError, match=r'search.lr was {"low": 0.1, "high": 0.2}, is null; .* study.name=…'),
        held_study(settings, {"epochs": 3}),
    ):
        pass
    with held_study(settings, {"search.lr": {"low": 0.1, "high": 0.2}, "epochs": 3}):
        pass


def test_a_study_in_use_is_refused(settings: Tune) -> None:
    with (
        lock_folder(settings.folder),
        pytest.raises(StudyError, match="another command works on this study"),
        held_study(settings, {}),
    ):
        pass


def test_a_database_that_another_program_has_locked_is_refused(settings: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tuning.storage.LOCKED_S", 0.1)
    with held_study(settings, {}):
        pass
    with closing(sqlite3.connect(settings.folder / "study.db")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudyError, match=r"study.db: is locked by another program"), held_study(settings, {}):
            pass


def test_a_file_that_is_no_database_is_refused(settings: Tune) -> None:
    settings.folder.mkdir(parents=True)
    (settings.folder / "study.db").write_text("not a database" * 100)
    with pytest.raises(StudyError, match=r"study.db: is not a database that SQLite can read"), held_study(settings, {}):
        pass


def test_a_folder_that_a_database_url_cannot_name_is_refused(settings: Tune, tmp_path: Path) -> None:
    asked = settings.model_copy(update={"output_root": tmp_path / "50%"})
    with pytest.raises(StudyError, match="set output_root"):
        open_study(asked)
