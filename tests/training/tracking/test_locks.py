import subprocess
import sys
from pathlib import Path

import pytest

from training.tracking.locks import FolderError, lock_folder

HOLD = """
import sys, time
from pathlib import Path
from training.tracking.locks import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderError) as refused, lock_folder(folder):
        pass
    assert refused.value.busy
    holder.kill()
    holder.wait()
    with lock_folder(folder):
        pass


def test_the_reason_is_given_if_a_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reason = r"file/b: cannot be created or opened \(Not a directory\)"
    with pytest.raises(FolderError, match=reason) as refused, lock_folder(tmp_path / "file" / "b"):
        pass
    assert not refused.value.busy


@pytest.mark.slow
def test_many_processes_may_start_their_first_run_at_once(tmp_path: Path) -> None:
    """MLflow itself would fail when it creates the tables of its database."""
    begin = "from training.tracking.server import Server; Server('sqlite:///mlruns/mlflow.db').create_run('x', 'y')"
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", begin], cwd=tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
