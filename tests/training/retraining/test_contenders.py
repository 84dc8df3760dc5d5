"""Which networks a registered version is compared by."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from training.retraining import contenders
from training.retraining.contenders import find_contender, trained_on
from training.retraining.record import Network
from training.tracking import TrackingError, UnreachableError, Version


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def network(run_id: str) -> Network:
    if run_id == "gone":
        raise TrackingError("no run gone")
    if run_id == "away":
        raise UnreachableError("no tracking server")
    return Network(run_id, None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "_network", network)


def test_the_network_in_service_comes_first(console: Console) -> None:
    found = find_contender(Version("2", "b", seed_runs=("a", "b", "c")), console)
    assert [one.run_id for one in found.networks] == ["b", "a", "c"]
    assert said(console) == ""


def test_a_version_that_is_older_than_seeds_has_its_own_network(console: Console) -> None:
    assert [one.run_id for one in find_contender(Version("1", "a"), console).networks] == ["a"]


def test_a_missing_seed_is_reported_and_an_unreachable_server_is_waited_for(console: Console) -> None:
    found = find_contender(Version("3", "a", seed_runs=("a", "gone")), console)
    assert [one.run_id for one in found.networks] == ["a"]
    assert said(console) == "warning: version 3 is compared without one of its seeds: no run gone\n"
    with pytest.raises(UnreachableError):
        find_contender(Version("3", "a", seed_runs=("a", "away")), console)
    with pytest.raises(TrackingError):
        find_contender(Version("3", "gone"), console)


def test_the_training_images_of_a_champion_without_a_profile_are_unknown(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_contender(Version("1", "a"), console)
    monkeypatch.setattr(contenders, "find_profile", lambda _: None)
    assert trained_on(found) is None


def test_no_network_is_looked_for_twice(console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    monkeypatch.setattr(contenders, "_network", lambda run_id: asked.append(run_id) or network(run_id))
    find_contender(Version("2", "a", seed_runs=("a", "b")), console)
    assert asked == ["a", "b"]
