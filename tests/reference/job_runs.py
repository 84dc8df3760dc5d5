"""Runs the main job as a separate process, and inspects the disk during and after the run."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from standalone import environment

from pipelines.store.schema import MANIFEST_NAME, Manifest

REPOSITORY = Path(__file__).parents[2]
JOB = REPOSITORY / "jobs" / "make_noisy_datasets.py"
ATTACKING_JOB = REPOSITORY / "jobs" / "make_adversarial_datasets.py"


def command(*arguments: str, submit: Sequence[str] = (), job: Path = JOB) -> list[str]:
    return [str(Path(sys.executable).with_name("spark-submit")), *submit, str(job), *arguments]


def start(log: Path, *arguments: str, submit: Sequence[str] = (), job: Path = JOB) -> subprocess.Popen[bytes]:
    """Starts the job under spark-submit with the options `submit`; its output goes to `log`."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command(*arguments, submit=submit, job=job), stdout=out, stderr=subprocess.STDOUT, env=environment()
        )


def finish(process: subprocess.Popen[bytes], timeout_s: float = 240) -> int:
    try:
        return process.wait(timeout_s)
    finally:
        process.kill()


def digests(root: Path) -> dict[str, str]:
    """The content digests by variant folder. Fails if a visible folder is incomplete."""
    found = {}
    variants = sorted(root.glob("geometry=*/size_px=*/variant=*"))
    for folder in (whole for variant in variants for whole in (sorted(variant.glob("attacked=*")) or [variant])):
        manifest = Manifest.read(folder)
        assert manifest is not None, f"{folder} is visible without a manifest"
        on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
        assert on_disk == {part.path for part in manifest.parts}, folder
        assert all((folder / part.path).stat().st_size == part.bytes for part in manifest.parts), folder
        found[folder.relative_to(root).as_posix()] = manifest.content_digest
    assert len(found) == len(list(root.rglob(MANIFEST_NAME)))
    return found


def wait_for_writing(process: subprocess.Popen[bytes], output_root: Path, files: int = 20) -> None:
    """Waits until `files` non-empty files are staged, and checks that no partial dataset is visible meanwhile."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the job ended before it was killed"
        for root in (path for path in output_root.glob("*") if not path.name.startswith(".")):
            digests(root)
        if sum(path.stat().st_size > 1000 for path in output_root.glob(".*/**/*.parquet") if path.exists()) >= files:
            return
        time.sleep(0.02)
    raise AssertionError("the job wrote nothing")


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def wait_until_gone(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == [], "processes outlived the job"
