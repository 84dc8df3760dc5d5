"""The wheel contains only the two packages, and exactly the intended settings files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_wheel_contains_only_pipelines_and_training(repository: Path, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--wheel", "--quiet", "--out-dir", tmp_path, repository], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        top = {name.partition("/")[0] for name in opened.namelist()}
        shipped = {name for name in opened.namelist() if name.startswith("pipelines/")}
    assert {name for name in top if not name.endswith(".dist-info")} <= {"pipelines", "training"}
    assert shipped == {path.relative_to(repository).as_posix() for path in (repository / "pipelines").rglob("*.py")}
