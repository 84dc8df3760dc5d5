"""The exit codes and error messages of jobs."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.errors import SettingsError, StoreError, describe_refusal
from pipelines.job.run import run_job


def ended(error: BaseException) -> int:
    def job(_: Sequence[str]) -> None:
        raise error

    return run_job(job, [])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreError("x: y"), 1, "error: x: y\n"), (SettingsError("a: b"), 2, "error: a: b\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (KeyboardInterrupt("run again"), 130, "error: interrupted; run again\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/[old] #2"), 1,
            "error: /d/[old] #2: No space left on device; make room on that disk, or choose a folder on another one\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", b"/x", None, "/y"), 1,
            "error: b'/x' → /y: Permission denied; choose a file or folder that you have permission for\n",
        ),
        (ConnectionError("the host\nis away"), 1, "the host is away; fix this, then run the same command again\n"),
    ],
    ids=repr,
)  # fmt: skip
def test_every_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == code
    told = capsys.readouterr()
    assert told.out == "" and told.err.endswith(said) and told.err.startswith("error: ") and told.err.count("\n") == 1


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_that_comes_of_an_interruption_is_the_interruption(
    capsys: pytest.CaptureFixture[str], wrapped: bool
) -> None:
    def job(_: object) -> None:
        try:
            try:
                raise KeyboardInterrupt
            finally:
                raise OSError("broken pipe") if wrapped else StoreError("x: y")
        except OSError as error:
            raise StoreError("x: y") from error

    assert run_job(job, []) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_error_of_the_system_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", tmp_path / ("x" * 300), tmp_path / "nowhere" / "x", tmp_path):
        with pytest.raises(OSError, match=r"\[Errno") as refused:
            path.write_text("content")
        assert describe_refusal(refused.value).startswith(f"{path}: ")
        assert "fix this" not in describe_refusal(refused.value)


def test_a_full_disk_without_a_file_name_is_reported_with_the_line_of_code() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space") as refused:
        file.write(b"x")
    assert __file__ in describe_refusal(refused.value)
    assert "No space left on device; make room" in describe_refusal(refused.value)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError):
        ended(KeyError("x"))


def test_sigterm_lets_a_job_clean_up() -> None:
    before, made = signal.getsignal(signal.SIGTERM), []

    def job(_: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made.append(Path(folder))
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended_with:
        run_job(job, [])
    assert ended_with.value.code == 143 and not made[0].exists()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("job", "encoding", "code", "said"),
    [
        ("[print('x' * 99999) for _ in range(9)]", "utf-8", 1, "error: the reader of the output has closed it"),
        ("print('→ \\udcff [old]')", "ascii", 0, ""),
    ],
)
def test_a_closed_pipe_and_a_limited_terminal_give_no_traceback(job: str, encoding: str, code: int, said: str) -> None:
    program = f"import sys; from pipelines.job.run import run_job; sys.exit(run_job(lambda _: {job}, []))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONIOENCODING": encoding}, cwd=Path(__file__).parents[3],
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        if code:
            process.stdout.close()
        error = process.stderr.read()
        assert process.wait() == code
    assert error.startswith(said) and error.count("\n") == bool(code)
