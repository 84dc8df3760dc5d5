"""Datasets on an object store: a real local S3 server, which can be stopped."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs
from fsspec.registry import _registry as loaded_file_systems
from s3_server import Server
from small_datasets import Small

from pipelines.errors import StreamError
from training.streams.petastorm_bridge import make_batch_reader
from training.streams.stream import Batch, Data, open_stream

SMALL = Small({"train": [[5, 5, 2], [5, 4]], "validation": [[3]]}, ("clean", "gaussian-max"))
LONG = Small({"train": [[4] * 50] * 4})


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: small.write(tmp_path_factory.mktemp(name)) for name, small in {"small": SMALL, "long": LONG}.items()}


@pytest.fixture(scope="module")
def served(roots: dict[str, Path]) -> Iterator[Server]:
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def bucket(served: Server, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket with both datasets, which open_stream finds as docs/datasets.md says."""
    yield from filled_bucket(served, roots, monkeypatch)


def filled_bucket(server: Server, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    s3fs.S3FileSystem.clear_instance_cache()
    store = fsspec.filesystem("s3")
    if not store.exists("bucket"):
        store.mkdir("bucket")
        for name, root in roots.items():
            store.put(str(root), f"bucket/{name}", recursive=True)
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()


def opened(root: str | Path, **others: Any) -> Iterator[Batch]:
    settings = {key: others.pop(key) for key in list(others) if key in Data.model_fields}
    return open_stream(Data(root=str(root), size_px=4, **settings), "train", seed=0, batch_size=4, **others).epoch(0)


def values(batches: Iterator[Batch]) -> list[tuple[list[str], list[int], bytes]]:
    return [(batch.image_ids, batch.labels.tolist(), batch.images.numpy().tobytes()) for batch in batches]


@pytest.mark.parametrize("others", [{}, {"cache": "host"}, {"verify": True}, {"pool": "dummy"}], ids=str)
def test_a_bucket_gives_the_batches_of_the_local_folder(
    bucket: str, roots: dict[str, Path], others: dict[str, Any]
) -> None:
    mixture = {"clean": 0.5, "gaussian-max": 0.5}
    local = values(opened(roots["small"], mixture=mixture, **others))
    assert values(opened(f"{bucket}/small", mixture=mixture, **others)) == local


def test_petastorms_documented_reader_reads_a_bucket(bucket: str) -> None:
    url = f"{bucket}/small/geometry=crop_or_pad/size_px=4/variant=clean"
    with make_batch_reader(url, filesystem=fsspec.filesystem("s3")) as reader:
        found = sorted(image_id for batch in reader for image_id in batch.image_id)
    assert found == [f"train/{row:05d}" for row in range(21)] + [f"validation/{row:05d}" for row in range(3)]


def test_a_dataset_that_was_made_again_elsewhere_is_opened_as_it_is_now(bucket: str, tmp_path: Path) -> None:
    url = f"{bucket}/again"
    for name, rows in (("before", 3), ("after", 9)):
        root = Small({"train": [[rows]]}).write(tmp_path / name)
        other_program = s3fs.S3FileSystem(skip_instance_cache=True)
        other_program.put(f"{root}/", "bucket/again/", recursive=True)
        assert len(values(opened(url))) == -(-rows // 4)
    assert values(opened(url)) == values(opened(tmp_path / "after"))


def test_a_missing_bucket_and_a_missing_variant_are_refused(bucket: str) -> None:
    with pytest.raises(StreamError, match=r"s3://nowhere/small: no such dataset; .* none"):
        opened("s3://nowhere/small")
    with pytest.raises(StreamError, match=r"variants there: clean, gaussian-max"):
        opened(f"{bucket}/small", mixture={"blur-max": 1.0})


def test_a_server_that_disappears_stops_the_epoch_and_the_file_is_named(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    (bucket,) = filled_bucket(server, roots, monkeypatch)
    epoch = opened(f"{bucket}/long")
    next(epoch)
    server.kill()
    start = time.monotonic()
    with pytest.raises(StreamError, match=r"part-0000\d\.parquet, row group \d+: cannot be read \(.*connect"):
        list(epoch)
    with pytest.raises(StreamError, match=r"s3://bucket/long: cannot be opened: .*connect"):
        opened(f"{bucket}/long")
    assert time.monotonic() - start < 60
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_system_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(loaded_file_systems, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StreamError, match="s3://bucket/small: cannot be opened: Install s3fs"):
        opened("s3://bucket/small")


def test_local_folders_are_named_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SMALL.write(tmp_path / "with a space")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    expected = values(opened(tmp_path / "with a space"))
    for root in ("~/with a space", "with a space", "./with a space/", f"file://{tmp_path}/with a space"):
        assert values(opened(root)) == expected
