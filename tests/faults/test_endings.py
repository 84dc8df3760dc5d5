"""Jobs as processes, in the C locale and ended by SIGTERM: their output and leftovers."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_attacks import classifier
from standalone import environment

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
JOB = str(REPOSITORY / "jobs" / "score_images.py")
SUBMIT = str(Path(sys.executable).with_name("spark-submit"))
SLEEPER = """
import sys, tempfile, time
from pathlib import Path
from pipelines.spark import session
from pipelines.job.run import run_job

def job(_):
    tempfile.mkdtemp(prefix="roadsign-models-")
    with session.started("sleeper") as spark:
        mark = sys.argv[1]
        spark.sparkContext.parallelize([0], 1).map(lambda _: (Path(mark).touch(), time.sleep(300))).collect()

sys.exit(run_job(job, []))
"""


def variables(folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {**environment(), "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}


def said(*command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """With stdout and stderr combined, as spark-submit combines those of a job."""
    return subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False
    )


def test_paths_with_umlauts_are_right_in_the_c_locale(tmp_path: Path) -> None:
    folder, output = tmp_path / "Bilder ä", tmp_path / "Übersicht ü"
    folder.mkdir()
    Image.fromarray(np.full((9, 9, 3), 90, np.uint8)).save(folder / "Straße.png")
    classifier().write(tmp_path / "Modell ö.pt")
    arguments = [f"model={tmp_path}/Modell ö.pt", f"images={folder}", f"output={output}"]
    environ = {**variables(tmp_path / "temp ü #1 %41"), "LC_ALL": "C"}
    done = said(sys.executable, JOB, *arguments, environ=environ)
    assert done.returncode == 0, done.stdout
    (row,) = pq.read_table(output).to_pylist()
    assert (row["image_id"], row["reason"]) == ("Straße.png", None)
    submitted = said(SUBMIT, JOB, *arguments, environ=environ)
    assert submitted.returncode == 2, submitted.stdout
    assert "set LC_ALL=C.UTF-8 for spark-submit" in submitted.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "Bilder ä",
        "Modell ö.pt",
        "temp ü #1 %41",
        "Übersicht ü",
    ]
    assert list((tmp_path / "temp ü #1 %41").iterdir()) == []


@pytest.mark.parametrize("program", [sys.executable, SUBMIT])
def test_sigterm_ends_a_job_that_waits_for_spark_at_once_and_nothing_is_left(program: str, tmp_path: Path) -> None:
    script, mark = tmp_path / "sleeper.py", tmp_path / "at work"
    script.write_text(SLEEPER)
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            [program, str(script), str(mark)], env=variables(tmp_path / "temp"), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 240
        while not mark.exists():
            assert job.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        (child,) = (tmp_path / "temp").glob("roadsign-*/")
        processes = [psutil.Process(job.pid), *psutil.Process(job.pid).children()]
        python = next(one for one in processes if "python" in one.name())  # spark-submit is Java, and starts it
        python.send_signal(signal.SIGTERM)
        assert job.wait(60) == 143
    finally:
        job.kill()
    assert "error: ended by SIGTERM" in (tmp_path / "log").read_text()
    assert not child.exists()
    assert list((tmp_path / "temp").iterdir()) == []
