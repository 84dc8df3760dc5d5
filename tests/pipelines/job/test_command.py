"""The console script: its list of commands, and completion in a real shell."""

import contextlib
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.commands import as_typed, jobs, summary
from pipelines.job import command
from pipelines.job.completion import completion


def told_by(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["roadsign", *arguments])
    command.main()
    return capsys.readouterr().out


def test_help_lists_every_job_on_one_line_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    told = told_by(capsys, monkeypatch, "--help").splitlines()
    for job in (repository / "jobs").glob("*.py"):
        (line,) = [line for line in told if line.split()[:1] == [job.stem.replace("_", "-")]]
        assert line.endswith(summary(job)) and len(summary(job)) > 20
    assert max(map(len, told)) <= 80


def test_a_command_is_the_job_with_its_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["roadsign", "make_noisy_datasets", "--dry-run", "dataset.kind=synthetic_signs"])
    with pytest.raises(SystemExit) as left:
        command.main()
    assert left.value.code == 0
    assert "synthetic_signs" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["retrian"], ["completion"], ["completion", "fish"]])
def test_wrong_usage_is_said_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as left:
        told_by(capsys, monkeypatch, *arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.startswith("error: ") and told.count("\n") == 1


def completed(typed: str) -> set[str]:
    words = typed.split(" ")
    script = "\n".join(
        [
            completion("bash"),
            f"COMP_LINE='{typed}' COMP_POINT={len(typed)} COMP_CWORD={len(words) - 1}",
            f"COMP_WORDS=({' '.join(repr(word) for word in words)})",
            "compopt() { :; }",  # works only while a shell completes
            "_roadsign",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
    )
    return set(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("roadsign train-c", {"train-classifier"}),
        ("roadsign train-classifier augmentation.ro", {"augmentation.rotation_deg="}),
        ("roadsign train-classifier --d", {"--dry-run"}),
        ("roadsign train-classifier model=inc", {"inception_v3"}),
        ("roadsign make-noisy-datasets seed=1 noise=p", {"paper", "proposal"}),
        ("roadsign measure-stability model=inc", set()),  # a run or a file there, not a name in conf/model/
    ],
)
def test_bash_completes_commands_keys_and_names_of_menus(typed: str, expected: set[str]) -> None:
    assert completed(typed) == expected


def test_the_script_for_zsh_has_every_command_and_key() -> None:
    script = completion("zsh")
    assert all(name in script for name in jobs())
    assert "augmentation.rotation_deg=" in script and "compdef _roadsign roadsign" in script


def called_by_zsh(typed: str, folder: Path) -> str:
    """The arguments with which an interactive zsh calls roadsign after `typed`, the tabulator and return."""
    (folder / "roadsign.zsh").write_text(completion("zsh"))
    lines = [
        "autoload -Uz compinit; compinit -u -D", f". {folder}/roadsign.zsh",
        f'roadsign() {{ print -r -- "$*" >{folder}/arguments }}', f"{typed}\t", "exit", "",
    ]  # fmt: skip
    terminal, of_zsh = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=of_zsh, stdout=of_zsh, stderr=of_zsh, env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
    ):  # fmt: skip
        os.close(of_zsh)
        os.write(terminal, "\n".join(lines).encode())
        with contextlib.suppress(OSError):  # the terminal ends with zsh
            while os.read(terminal, 4096):
                pass
        os.close(terminal)
    return (folder / "arguments").read_text().strip()


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("roadsign train-c", "train-classifier"),
        ("roadsign train-classifier augmentation.ro", "train-classifier augmentation.rotation_deg="),
        ("roadsign train-classifier --dr", "train-classifier --dry-run"),
        ("roadsign train-classifier model=inc", "train-classifier model=inception_v3"),
        ("roadsign make-noisy-datasets seed=1 noise=pa", "make-noisy-datasets seed=1 noise=paper"),
    ],
)
def test_zsh_completes_commands_keys_and_names_of_menus(typed: str, expected: str, tmp_path: Path) -> None:
    assert called_by_zsh(typed, tmp_path) == expected


def test_calls_of_jobs_run_as_they_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/uv")
    assert as_typed("try python jobs/tune.py trials=3") == "try uv run python jobs/tune.py trials=3"
    assert as_typed("uv run spark-submit jobs/score_images.py") == "uv run spark-submit jobs/score_images.py"
    assert as_typed("events with jobs/sync_tracking.py") == "events with jobs/sync_tracking.py"
    monkeypatch.setattr("pipelines.commands._is_checkout", lambda: False)
    assert as_typed("`uv run python jobs/tune.py` or jobs/rollback.py") == "`roadsign tune` or roadsign rollback"
