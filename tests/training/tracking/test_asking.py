"""The error for a store that is not an MLflow server or refuses access: one line with the address and the remedy."""

import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from training.tracking import Registry, Tracking, TrackingError, UnreachableError, end_run, find_models, tracked_run
from training.tracking.asking import shown

PAGE = b"<html><body>Sign in</body></html>"
UNKNOWN = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}'


class Answers(BaseHTTPRequestHandler):
    """Gives the same response to every request except /health."""

    status, body = 200, PAGE

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200 if self.path == "/health" else self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def server(address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def begin(folder: Path) -> None:
    with tracked_run(Tracking(system_metrics_every_s=0.0), folder, "run", {}, "train", [], {}):
        pass


def attempts(folder: Path) -> list[Callable[[], object]]:
    """Everything that jobs do with MLflow."""
    return [
        lambda: find_models(["latest"]), lambda: find_models(["0" * 32]), lambda: find_models(["models:/a@champion"]),
        lambda: Registry("signs").version("champion"), lambda: begin(folder), lambda: end_run("0" * 32),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, PAGE, r"refuses access \(status 401\); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, PAGE, r"refuses access \(status 403\); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', r"refuses access \(status 403\)"),
        (404, PAGE, "not an MLflow server .*set MLFLOW_TRACKING_URI to the server's address"),
        (302, PAGE, "not an MLflow server"),
        (200, PAGE, "not an MLflow server"),
        (200, b'{"run": 5, "registered_model": 5, "experiment": 5}', "not an MLflow server"),
        (500, PAGE, "no tracking server: "),
    ],
)
def test_a_server_that_refuses_access_is_named_in_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, message: str
) -> None:
    monkeypatch.setattr(Answers, "status", status)
    monkeypatch.setattr(Answers, "body", body)
    for attempt in attempts(tmp_path):
        with pytest.raises(TrackingError, match=message) as error:
            attempt()
        assert str(error.value).startswith(f"{server}: ")
        assert len(str(error.value).splitlines()) == 1 and "<html>" not in str(error.value)


def test_a_missing_run_is_ignored_and_any_other_error_is_raised(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "status", 404)
    monkeypatch.setattr(Answers, "body", UNKNOWN)
    end_run("0" * 32)
    monkeypatch.setattr(Answers, "body", PAGE)
    with pytest.raises(TrackingError):
        end_run("0" * 32)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("foo://x", "unsupported URI"),
        ("mlruns", "filesystem tracking backend"),
        ("http://127.0.0.1:99999", "no answer"),
        ("http://nohost.invalid", "no answer"),
    ],
)
def test_an_address_of_no_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for attempt in attempts(tmp_path / "run"):
        with pytest.raises(TrackingError, match=message) as error:
            attempt()
        assert uri in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_database_whose_driver_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://user:secret@127.0.0.1:9/mlflow")
    with pytest.raises(TrackingError, match="install that database's driver") as error:
        find_models(["latest"])
    assert "secret" not in str(error.value)


def test_no_password_is_shown() -> None:
    assert shown("postgresql://user:secret@host/mlflow") == "postgresql://user:***@host/mlflow"
    assert shown("https://user:secret@host:5000/a") == "https://user:***@host:5000/a"
    assert shown("sqlite:////data/a@b/mlflow.db") == "sqlite:////data/a@b/mlflow.db"


def test_an_unreachable_server_can_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        find_models(["latest"])
