"""Datasets of spark-submit in a bucket of a real S3 server, with two executors on one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_gtsrb
import psutil
import pytest
import s3fs
import untrained_gans
from s3_server import Server

from pipelines.places import below, read_place
from pipelines.store.schema import MANIFEST_NAME

pytestmark = pytest.mark.slow
JOBS = Path(__file__).parents[2] / "jobs"
SMALL = ("sizes_px=[8,16]", "variants=[clean,gaussian-max,periodic-min]", "images_per_part=20")
BUCKET = "s3://bucket/datasets"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    for name, value in {
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    place = read_place("s3://bucket/x")
    place.fs.mkdir("bucket")  # type: ignore[union-attr]
    yield server
    server.kill()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    fake_gtsrb.write_official(root, fake_gtsrb.make_images(frames=20, tests=30))
    return root


def start(job: str, *arguments: str) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("spark-submit")
    command = [str(program), "--master", "local-cluster[2,1,1024]", str(JOBS / job), *arguments]
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def run(job: str, *arguments: str) -> str:
    process = start(job, *arguments)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    return out


def noisy(raw: str | Path, output_root: str | Path, *more: str) -> tuple[str, ...]:
    return (
        "make_noisy_datasets.py", f"dataset.root={raw}", f"output_root={output_root}", *fake_gtsrb.ITS_CLASSES, *SMALL,
        *more,
    )  # fmt: skip


def digests(root: str | Path) -> dict[str, str]:
    place = read_place(str(root))
    manifests = {name: place / name for name in below(place) if name.endswith(MANIFEST_NAME)}
    return {name: json.loads(path.read_text())["content_digest"] for name, path in manifests.items()}


def kill_one(process: subprocess.Popen[str], kind: str) -> None:
    """kill −9, as soon as something was uploaded: the driver with its Java, an executor, or a Python worker."""
    bucket, deadline = read_place(f"{BUCKET}/gtsrb"), time.monotonic() + 600
    there = set(below(bucket))
    while not any(name.endswith(".parquet") for name in set(below(bucket)) - there):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.5)
    if kind == "driver":
        os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes its pipes
            return
    sign = "CoarseGrainedExecutorBackend" if kind == "executor" else "pyspark.daemon"
    victims = [
        child for child in psutil.Process(process.pid).children(recursive=True) if sign in " ".join(child.cmdline())
    ]
    victims[-1].kill()


def test_the_bucket_has_the_digests_of_a_disk_and_every_job_reads_it(server: Server, raw: Path, tmp_path: Path) -> None:
    assert "6 datasets made" in run(*noisy(raw, BUCKET))
    run(*noisy(raw, tmp_path / "disk"))
    assert digests(f"{BUCKET}/gtsrb") == digests(tmp_path / "disk" / "gtsrb")
    assert "0 datasets made, 6 were there already" in run(*noisy(raw, BUCKET))
    untrained_gans.classifier(16).write(tmp_path / "classifier.pt")
    untrained_gans.gan().write(tmp_path / "gan.pt")
    for root in (f"{BUCKET}/gtsrb", f"{tmp_path}/disk/gtsrb"):
        run(
            "make_adversarial_datasets.py", f"model={tmp_path / 'classifier.pt'}", "attack=fgsm", "snr_db=[33]",
            f"data.root={root}",
        )  # fmt: skip
        run("make_generated_datasets.py", f"model={tmp_path / 'gan.pt'}", f"data.root={root}")
    there, here = digests(f"{BUCKET}/gtsrb"), digests(tmp_path / "disk" / "gtsrb")
    assert there == here
    assert len(there) == 8


@pytest.mark.parametrize("write", [fake_gtsrb.write_official, fake_gtsrb.write_zips])
def test_raw_images_in_the_bucket_give_the_digests_of_a_disk(
    server: Server, write: Callable[[Path, list[fake_gtsrb.FakeImage]], None], tmp_path: Path
) -> None:
    """So that nothing need be on a disk that the machines share."""
    write(tmp_path / "raw", fake_gtsrb.make_images(frames=20, tests=30))
    s3fs.S3FileSystem().put(f"{tmp_path}/raw/", "bucket/raw/", recursive=True)
    run(*noisy(tmp_path / "raw", tmp_path / "disk"))
    assert "6 datasets made" in run(*noisy("s3://bucket/raw", BUCKET))
    assert digests(f"{BUCKET}/gtsrb") == digests(tmp_path / "disk" / "gtsrb")
    assert "0 datasets made, 6 were there already" in run(*noisy("s3://bucket/raw", BUCKET))


@pytest.fixture(scope="module")
def on_disk(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    run(*noisy(raw, folder, "seed=1"))
    return folder / "gtsrb"


def check(on_disk: Path) -> None:
    assert digests(f"{BUCKET}/gtsrb") == digests(on_disk)
    files = [name for name in below(read_place(f"{BUCKET}/gtsrb")) if name.endswith(".parquet")]
    assert len(files) == len(list(on_disk.rglob("*.parquet")))


@pytest.mark.parametrize("kind", ["executor", "python worker"])
def test_kill_9_on_the_cluster_is_made_good(server: Server, raw: Path, on_disk: Path, kind: str) -> None:
    process = start(*noisy(raw, BUCKET, "seed=1"))
    kill_one(process, kind)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    check(on_disk)


def test_kill_9_of_the_driver_leaves_no_half_dataset(server: Server, raw: Path, on_disk: Path) -> None:
    run(*noisy(raw, BUCKET))
    before = digests(f"{BUCKET}/gtsrb")
    process = start(*noisy(raw, BUCKET, "seed=1"))
    kill_one(process, "driver")
    assert digests(f"{BUCKET}/gtsrb") == before
    folder = read_place(f"{BUCKET}/gtsrb")
    lock = next(name for name in below(folder) if "lease" in name)
    (folder / lock).write_text('{"owner": "the killed run", "expires": 0}')  # as a minute later
    run(*noisy(raw, BUCKET, "seed=1"))
    check(on_disk)
