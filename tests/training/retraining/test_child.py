"""Jobs as children of a batch, with scripts of a few lines."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from standalone import environment

from training.retraining.child import JobFailedError, run_child


def script(folder: Path, text: str) -> Path:
    path = folder / "job.py"
    path.write_text(text)
    return path


def test_a_job_gets_its_arguments_and_its_output_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_child(script(tmp_path, "import sys; print(__name__, sys.argv[1:])"), ["a=b c", "d"])
    said = capfd.readouterr().out
    assert f"$ python {tmp_path.name}/job.py 'a=b c' d\n" in said
    assert "__main__ ['a=b c', 'd']\n" in said


def test_a_failure_has_the_error_of_the_job(tmp_path: Path) -> None:
    text = "import sys; print('error: no room', file=sys.stderr); print('later', file=sys.stderr); sys.exit(3)"
    with pytest.raises(JobFailedError, match=r"^job ended with exit code 3: no room$"):
        run_child(script(tmp_path, text), [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_job_ends_with_its_parent(tmp_path: Path) -> None:
    path = script(
        tmp_path, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    starting = (
        f"from pathlib import Path; from training.retraining.child import run_child; run_child(Path({str(path)!r}), [])"
    )
    parent = subprocess.Popen([sys.executable, "-c", starting], env=environment())
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    child = psutil.Process(int((tmp_path / "pid").read_text()))
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_job_whose_parent_has_ended_does_nothing(tmp_path: Path) -> None:
    path = script(tmp_path, f"open({str(tmp_path / 'done')!r}, 'w')")
    command = [sys.executable, "-m", "training.retraining.child", str(os.getppid()), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 1 and "the parent process has ended" in done.stderr
    assert not (tmp_path / "done").exists()
