"""Aliases in a real MLflow store, even if the process dies between two steps."""

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow import MlflowClient
from pydantic import TypeAdapter, ValidationError

from training.tracking import ModelName, Registry, TrackingError, UnreachableError, find_models


@pytest.fixture(scope="module")
def database(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(empty_mlflow, tmp_path_factory.mktemp("store")))


@pytest.fixture
def client(database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = f"sqlite:///{database}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture
def registry(client: MlflowClient, request: pytest.FixtureRequest) -> Registry:
    """A registry; each test has its own model."""
    return Registry(request.node.name)


def finished_run(client: MlflowClient, folder: Path, status: str = "FINISHED", without: str = "") -> str:
    """A run with a checkpoint and a logged model."""
    found = client.get_experiment_by_name("registry")
    place = (folder.parent / "artifacts").as_uri()
    experiment = found.experiment_id if found else client.create_experiment("registry", place)
    run_id = str(client.create_run(experiment).info.run_id)
    (folder / "model.pt").write_text(run_id)
    if without != "checkpoint":
        client.log_artifact(run_id, str(folder / "model.pt"), "checkpoint")
    if without != "model":
        model = client.create_logged_model(experiment, "model", source_run_id=run_id)
        client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run_id, status)
    return run_id


def promoted(registry: Registry, client: MlflowClient, folder: Path) -> str:
    """Promotes a new version; returns its number."""
    champion = registry.version("champion")
    challenger = registry.challenge(finished_run(client, folder))
    registry.promote(challenger.number, champion and champion.number)
    return challenger.number


def aliases(client: MlflowClient, registry: Registry) -> dict[str, str]:
    """The aliases and version numbers; databases store them as integers."""
    return {alias: str(number) for alias, number in client.get_registered_model(registry.name).aliases.items()}


class Killed(BaseException):
    pass


class Dying:
    """A client whose process is killed at write number `writes`, counted from 0."""

    def __init__(self, client: MlflowClient, writes: int) -> None:
        self._client, self._writes = client, writes

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("set_", "delete_")):
            if self._writes == 0:
                raise Killed
            self._writes -= 1
        return getattr(self._client, name)


def dying(client: MlflowClient, registry: Registry, writes: int) -> Registry:
    again = Registry(registry.name)
    again._client = Dying(client, writes)
    return again


def test_the_first_challenger_becomes_champion(client: MlflowClient, registry: Registry, tmp_path: Path) -> None:
    assert registry.version("champion") is None
    run_id = finished_run(client, tmp_path)
    challenger = registry.challenge(run_id)
    assert aliases(client, registry) == {"challenger": "1"}
    registry.promote(challenger.number, None)
    assert aliases(client, registry) == {"champion": "1"}
    (found,) = find_models([f"models:/{registry.name}@champion"], folder=tmp_path / "models")
    assert found.run_id == run_id
    assert found.path.read_text() == run_id


def test_a_promotion_keeps_the_old_champion_and_a_rollback_brings_it_back(
    client: MlflowClient, registry: Registry, tmp_path: Path
) -> None:
    first, second = (promoted(registry, client, tmp_path) for _ in range(2))
    assert aliases(client, registry) == {"champion": second, "previous": first}
    assert [version.number for version in registry.rollback_plan()] == [second, first]
    failed, back = registry.rollback()
    assert (failed.number, back.number) == (second, first)
    assert aliases(client, registry) == {"champion": first}
    assert client.get_model_version(registry.name, second).tags == {"rolled_back": "true"}
    assert back == registry.version("champion")
    assert not back.rolled_back
    with pytest.raises(TrackingError, match="has no @previous other than the champion, version 1"):
        registry.rollback()


def test_a_run_has_one_version_however_often_it_challenges(
    client: MlflowClient, registry: Registry, tmp_path: Path
) -> None:
    runs = [finished_run(client, tmp_path) for _ in range(2)]
    numbers = [registry.challenge(run).number for run in (runs[0], runs[1], runs[0], runs[0])]
    assert numbers == ["1", "2", "1", "1"]
    assert aliases(client, registry) == {"challenger": "1"}


def test_a_version_says_what_decided_and_how_good_it_is(
    client: MlflowClient, registry: Registry, tmp_path: Path
) -> None:
    run_id = finished_run(client, tmp_path)
    challenger = registry.challenge(run_id, "b1", "d1", [run_id, "another"])
    assert challenger.seed_runs == (run_id, "another")
    assert registry.made_of("d1") == [], "it is not decided"
    registry.decide(challenger.number, "Not promoted.", clean_accuracy="4.8%", sha256="a1", description="Weak.")
    (version,) = registry.made_of("d1")
    assert (version.decision, version.clean_accuracy, version.decision_sha256) == ("Not promoted.", "4.8%", "a1")
    assert client.get_model_version(registry.name, version.number).description == "Weak."
    assert aliases(client, registry) == {}


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_promotion_that_is_killed_is_completed_by_the_next(
    client: MlflowClient, registry: Registry, tmp_path: Path, writes: int
) -> None:
    older, old = (promoted(registry, client, tmp_path) for _ in range(2))
    new = registry.challenge(finished_run(client, tmp_path)).number
    with pytest.raises(Killed):
        dying(client, registry, writes).promote(new, old)
    assert (
        aliases(client, registry)
        == [
            {"champion": old, "previous": older, "challenger": new},
            {"champion": old, "previous": old, "challenger": new},
            {"champion": new, "previous": old, "challenger": new},
        ][writes]
    )
    for _ in range(2):
        registry.promote(new, old)
        assert aliases(client, registry) == {"champion": new, "previous": old}


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_rollback_that_is_killed_never_brings_the_failed_version_back(
    client: MlflowClient, registry: Registry, tmp_path: Path, writes: int
) -> None:
    old, failed = (promoted(registry, client, tmp_path) for _ in range(2))
    with pytest.raises(Killed):
        dying(client, registry, writes).rollback()
    assert aliases(client, registry) == {"champion": failed if writes < 2 else old, "previous": old}
    if writes < 2:
        registry.rollback()
        assert aliases(client, registry) == {"champion": old}
    else:
        with pytest.raises(TrackingError, match="has no @previous"):
            registry.rollback()
        assert aliases(client, registry)["champion"] == old


def test_only_the_compared_version_is_promoted(client: MlflowClient, registry: Registry, tmp_path: Path) -> None:
    old = promoted(registry, client, tmp_path)
    new, newer = (registry.challenge(finished_run(client, tmp_path)).number for _ in range(2))
    before = aliases(client, registry)
    with pytest.raises(TrackingError, match=rf"@challenger of .* is on version {newer}, not on {new}.*compare again"):
        registry.promote(new, old)
    with pytest.raises(TrackingError, match=rf"@champion of .* is on version {old}, not on none"):
        registry.promote(newer, None)
    assert aliases(client, registry) == before


def test_half_a_model_cannot_challenge(client: MlflowClient, registry: Registry, tmp_path: Path) -> None:
    for status in ("FAILED", "RUNNING"):
        run_id = finished_run(client, tmp_path, status)
        with pytest.raises(TrackingError, match=f"run {run_id} is {status}"):
            registry.challenge(run_id)
    with pytest.raises(TrackingError, match=r"has no checkpoint/model\.pt"):
        registry.challenge(finished_run(client, tmp_path, without="checkpoint"))
    with pytest.raises(TrackingError, match="has logged no model to register"):
        registry.challenge(finished_run(client, tmp_path, without="model"))
    with pytest.raises(TrackingError, match=f"not found|{'0' * 32}"):
        registry.challenge("0" * 32)
    with pytest.raises(TrackingError, match="has no @champion, so there is nothing to roll back"):
        registry.rollback()


def test_an_unreachable_store_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9.*no tracking server"):
        Registry("signs")


def test_the_job_says_what_it_would_do_and_does_it(
    client: MlflowClient, registry: Registry, tmp_path: Path, rollback: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [finished_run(client, tmp_path) for _ in range(2)]
    for number, run_id in enumerate(runs):
        registry.promote(registry.challenge(run_id).number, str(number) if number else None)
    for arguments, would, champion in (["--dry-run"], "would be", "2"), ([], "is", "1"):
        assert rollback.main([*arguments, f"name={registry.name}"]) == 0
        assert capsys.readouterr().out == (
            f"models:/{registry.name}@champion {would} version 1 again (run {runs[0]}), no longer version 2 "
            f"(run {runs[1]})\n"
        )
        assert aliases(client, registry)["champion"] == champion
    assert rollback.main([f"name={registry.name}"]) == 1
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "-x", "a b", "x\n", "models:/x", "a" * 101])
def test_names_of_models_are_not_paths(name: str) -> None:
    """Letters, digits, _ . - and nothing else."""
    names = TypeAdapter(ModelName)
    assert names.validate_python("Über_signs-v1.2") == "Über_signs-v1.2"
    with pytest.raises(ValidationError):
        names.validate_python(name)
