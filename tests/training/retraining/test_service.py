"""What a batch's end looks like from outside; the batches here fail before their first step."""

import json
import time
from pathlib import Path

import pytest
from rich.console import Console
from webhook_receiver import Receiver

from pipelines.datasets import Listing
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import SourceError
from pipelines.settings import load
from training.retraining.batch import Outcome, Retraining
from training.retraining.journal import Attempt
from training.retraining.lease import leased
from training.retraining.plan import RetrainingPlan
from training.retraining.record import BatchError, Decided, RetrainingBatch
from training.retraining.service import BusyError, attempt
from training.retraining.settings import Retrain
from training.retraining.status import Status, find_status, journal_of
from training.tracking import UnreachableError, Version

CONF = Path(__file__).parents[3] / "conf"
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture(autouse=True)
def store(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")


def settings(folder: Path, *overrides: str) -> Retrain:
    places = [f"output_root={folder / 'datasets'}", f"state_root={folder / 'state'}"]
    return load(Retrain, CONF / "retrain.yaml", ["dataset.kind=synthetic_signs", *places, *overrides])


def broken() -> RetrainingPlan:
    raise SourceError("raw/: no images")


def crashing() -> RetrainingPlan:
    raise ZeroDivisionError("a bug")


def stopped() -> RetrainingPlan:
    raise SystemExit(143)


def test_a_failure_is_raised_and_recorded(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with pytest.raises(SourceError):
        attempt(given, broken, Console(), time.time)
    last = journal_of(given).last()
    assert last is not None and last.ended is not None and last.ended >= last.began
    assert (last.exit_code, last.outcome, last.sentence) == (1, "failed", "raw/: no images")


def test_an_unexpected_exception_is_recorded_too(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with pytest.raises(ZeroDivisionError):
        attempt(given, crashing, Console())
    last = journal_of(given).last()
    assert last is not None and (last.exit_code, last.sentence) == (1, "ZeroDivisionError: a bug")


def test_a_stopped_batch_records_no_end_and_releases_the_lease(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with pytest.raises(SystemExit):
        attempt(given, stopped, Console())
    last = journal_of(given).last()
    assert last is not None and last.ended is None
    assert "a batch was killed; the next one resumes it" in find_status(given).text
    with pytest.raises(SourceError):
        attempt(given, broken, Console())


def test_nothing_is_recorded_if_another_batch_is_running(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with (
        leased(given.output_root, "retraining"),
        pytest.raises(BusyError, match="locked by a running batch \\(process") as raised,
    ):
        attempt(given, broken, Console())
    assert raised.value.exit_code == 75
    assert journal_of(given).last() is None


def test_a_failure_is_sent_to_the_webhook(tmp_path: Path, receiver: Receiver, secret_file: Path) -> None:
    webhook = f"webhook={{url: '{receiver.url}', secret_file: {secret_file}}}"
    given = settings(tmp_path, webhook)
    with pytest.raises(SourceError):
        attempt(given, broken, Console())
    ((headers, body),) = receiver.taken
    message = json.loads(body)
    assert message["type"] == "retraining.failed"
    assert message["data"] == {"model": "roadsign", "batch_id": "", "exit_code": 1, "sentence": "raw/: no images"}
    assert {name.lower(): value for name, value in headers.items()}["webhook-signature"].startswith("v1,")


def test_an_unreachable_webhook_does_not_change_the_result(
    tmp_path: Path, secret_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webhook = f"webhook={{url: 'http://127.0.0.1:9/', secret_file: {secret_file}, attempts: 1}}"
    with pytest.raises(SourceError):
        attempt(settings(tmp_path, webhook), broken, Console())
    assert "warning: the webhook was not notified" in capsys.readouterr().err


def order_of(given: Retrain, folder: Path) -> RetrainingPlan:
    return RetrainingPlan(
        given, folder, folder, (), Listing("raw", GTSRB_CARD), "code", "settings", True, "retrain", {}
    )


def test_a_batch_resumes_when_its_tracking_server_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([UnreachableError("away"), UnreachableError("away"), None])

    def run(_: Retraining) -> Outcome:
        if error := next(answers):
            raise error
        return Outcome("nothing to do", "the same")

    monkeypatch.setattr(Retraining, "run", run)
    monkeypatch.setattr("training.retraining.service.PAUSE_S", 0.0)
    given = settings(tmp_path)
    attempt(given, lambda: order_of(given, tmp_path), Console())
    assert capsys.readouterr().out.splitlines() == ["warning: away; waiting for it"] * 2 + ["the same"]
    last = journal_of(given).last()
    assert last is not None and (last.exit_code, last.sentence) == (0, "the same")


def test_a_batch_without_its_tracking_server_fails_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    given = settings(tmp_path, "wait_for_server_s=0")
    with pytest.raises(UnreachableError):
        attempt(given, lambda: order_of(given, tmp_path), Console())
    last = journal_of(given).last()
    assert last is not None and last.exit_code == 1 and "no tracking server" in last.sentence


def test_before_the_first_batch_the_status_says_so(tmp_path: Path) -> None:
    assert find_status(settings(tmp_path), lambda: 36 * HOUR_S).text.splitlines() == [
        "last run:  never", "next due:  1970-01-02 12:00:00 UTC", "champion:  none", "previous:  none",
        "pending:  nothing",
    ]  # fmt: skip
    assert not (tmp_path / "state").exists() and not (tmp_path / "datasets").exists()


def test_the_status_says_when_the_next_batch_is_due(tmp_path: Path) -> None:
    given = settings(tmp_path, "schedule.every_h=6")
    with pytest.raises(SourceError):
        attempt(given, broken, Console(), lambda: 36 * HOUR_S)
    said = find_status(given, lambda: 37 * HOUR_S).text
    assert "1970-01-02 12:00:00 UTC, 0 s, exit code 1: raw/: no images" in said
    assert "next due:  1970-01-02 18:00:00 UTC" in said


def test_decisions_are_kept_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    batch = RetrainingBatch(tmp_path / "b1")
    assert batch.decided is None and not batch.closed
    decided = Decided(None, "1", True, "Promoted: “first”.", "r1")
    batch.decide(decided)
    batch.close()
    assert RetrainingBatch(tmp_path / "b1").decided == decided and batch.closed
    (tmp_path / "b1" / "batch.json").write_text("{")
    with pytest.raises(BatchError, match=r"b1/batch\.json: not readable"):
        _ = batch.decided


def test_the_status_as_json_has_the_champions_accuracy_and_what_decided(tmp_path: Path) -> None:
    champion = Version(
        "3", "r3", batch_id="b3", decision="Promoted: there was no champion.", seed_runs=("r3", "r4"),
        clean_accuracy="96.40% (95 % interval 95.20–97.30; 7,829 validation images, 261 groups)",
        decision_sha256=64 * "a",
    )  # fmt: skip
    found = Status(Attempt(0.0, 60.0, 0, "b3", "promoted", "Promoted."), 24 * HOUR_S, champion, None, ("a batch",))
    facts = json.loads(found.json)
    assert facts["champion"]["clean_accuracy"] == champion.clean_accuracy
    assert facts["champion"]["decision_sha256"] == champion.decision_sha256
    assert facts["champion"]["seed_runs"] == ["r3", "r4"]
    assert (facts["previous"], facts["pending"], facts["next_due"]) == (None, ["a batch"], "1970-01-02T00:00:00+00:00")
    assert facts["last_run"] == {
        "began": "1970-01-01T00:00:00+00:00", "ended": "1970-01-01T00:01:00+00:00", "exit_code": 0, "batch_id": "b3",
        "outcome": "promoted", "sentence": "Promoted.",
    }  # fmt: skip
    assert f"champion:  version 3 (run r3, batch b3), clean accuracy {champion.clean_accuracy}" in found.text
