"""The temporary folder of a job, and SIGTERM."""

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.errors import SettingsError, StoreError
from pipelines.job.run import run_job
from pipelines.spark import session


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    return tmp_path


def leave_things(_: Sequence[str]) -> None:
    tempfile.mkdtemp(prefix="roadsign-models-")
    Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).mkdir()
    (Path(os.environ["TMPDIR"]) / "of a child").touch()


def fail(_: Sequence[str]) -> None:
    leave_things([])
    raise StoreError("no")


def interrupt(_: Sequence[str]) -> None:
    leave_things([])
    raise KeyboardInterrupt


def terminate(_: Sequence[str]) -> None:
    leave_things([])
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("SIGTERM has not arrived")
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # a second one does not disturb the tidying


def terminate_and_call_it_something_else(_: Sequence[str]) -> None:
    try:
        terminate([])
    except KeyboardInterrupt:
        raise StoreError("interrupted") from None


@pytest.mark.parametrize(("job", "code"), [(leave_things, 0), (fail, 1), (interrupt, 130)])
def test_a_jobs_files_in_the_temporary_folder_are_removed_with_it(folder: Path, job: object, code: int) -> None:
    variables = dict(os.environ)
    assert run_job(job, []) == code
    assert list(folder.iterdir()) == []
    assert dict(os.environ) == variables
    assert tempfile.gettempdir() == str(folder)


@pytest.mark.parametrize("job", [terminate, terminate_and_call_it_something_else])
@pytest.mark.parametrize("nested", [False, True])
def test_sigterm_ends_a_job_with_143_and_nothing_is_left(
    folder: Path, job: object, nested: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        run_job((lambda arguments: run_job(job, arguments)) if nested else job, [])
    assert left.value.code == 143
    assert list(folder.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("argument", "submitted", "encoding", "refused"),
    [
        ("output=/x/??bersicht", True, "ANSI_X3.4-1968", True),
        ("output=/x/??bersicht", True, "UTF-8", False),
        ("output=/x/??bersicht", False, "ANSI_X3.4-1968", False),
        ("output=/x/today", True, "ANSI_X3.4-1968", False),
    ],
)
def test_paths_that_spark_submit_may_have_mangled_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    argument: str, submitted: bool, encoding: str, refused: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(session, "java_encoding", lambda: encoding)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    if submitted:
        monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    assert run_job(lambda _: None, [argument]) == (SettingsError.exit_code if refused else 0)
    assert ("set LC_ALL=C.UTF-8 for spark-submit" in capsys.readouterr().err) == refused
