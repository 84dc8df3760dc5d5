"""The wheel: what it contains, and that its commands run where there is no checkout."""

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([beside("uv"), "build", "--wheel", "--quiet", "--out-dir", folder, repository], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def roadsign(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script in an environment of its own, which has only the libraries of this one."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([beside("uv"), "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))  # their own .pth files are not read
    python = environment / "bin" / "python"
    install = [beside("uv"), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    subprocess.run(install, check=True)
    return environment / "bin" / "roadsign"


def beside(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def run(roadsign: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(roadsign), *arguments]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def test_the_wheel_contains_the_packages_and_beside_the_front_jobs_and_settings(repository: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = [name for name in opened.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == {"pipelines", "training", "roadsign"}
    expected = {
        path.relative_to(repository).as_posix()
        for package in ("pipelines", "training", "roadsign")
        for pattern in ("*.py", "*.jinja")
        for path in (repository / package).rglob(pattern)
    }
    expected |= {
        f"roadsign/{path.relative_to(repository).as_posix()}"
        for path in [*repository.glob("jobs/*.py"), *repository.glob("conf/**/*.yaml")]
    }
    assert set(names) == expected


def test_an_installed_command_runs_in_any_folder(roadsign: Path, tmp_path: Path) -> None:
    told = run(roadsign, tmp_path, "--help")
    assert told.returncode == 0, told.stderr
    assert "  rollback                   Make the previous champion the champion again.\n" in told.stdout
    planned = run(roadsign, tmp_path, "make-noisy-datasets", "--dry-run", "dataset.kind=synthetic_signs")
    assert planned.returncode == 0, planned.stderr
    assert "synthetic_signs" in planned.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_installed_command_proposes_commands_that_are_installed(roadsign: Path, tmp_path: Path) -> None:
    refused = run(roadsign, tmp_path, "make-noisy-datasets", "dataset.kind=mnist")
    assert refused.returncode == 1
    assert "`roadsign download-dataset mnist`" in refused.stderr
    usage = run(roadsign, tmp_path, "download-dataset", "--help")
    assert usage.stdout.startswith("usage: roadsign download-dataset ")


def test_an_unknown_command_is_wrong_usage(roadsign: Path, tmp_path: Path) -> None:
    refused = run(roadsign, tmp_path, "train-clasifier")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: train-clasifier: no such command; did you mean train-classifier? roadsign --help lists all\n"
    )
