"""Datasets in the bucket of a real S3 server, written as tasks write them but without Spark."""

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from faulty_proxy import Fault, FaultyProxy
from rich.console import Console
from s3_server import Server
from upath import UPath

from pipelines.datasets import Rejected
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import StoreError
from pipelines.places import Place, below, read_place
from pipelines.render import report
from pipelines.render.figures import draw_figures
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store import object_lease, object_store, staging, writer
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.contents import check_files
from pipelines.store.object_lease import Lease, leased
from pipelines.store.schema import FORMAT_VERSION, MANIFEST_NAME, Cell, Manifest
from pipelines.store.shown import Shown
from training.streams.stream import Data, open_stream

CONFIG = Path(__file__).parents[3] / "conf" / "make_noisy_datasets.yaml"
SIZE_PX = 8
CELLS = [Cell("crop_or_pad", SIZE_PX, variant) for variant in ("clean", "gaussian-max")]
PART = re.compile(r"split=train/part-0000\d-[0-9a-f]{12}\.parquet")


def plan_of(root: Place, seed: int = 0, lease: Lease | None = None, parts: int = 2) -> writer.Plan:
    fingerprints = {
        cell: {
            "format_version": FORMAT_VERSION, "size_px": SIZE_PX, "seed": seed,
            **(Shown() if cell.variant == "clean" else Shown("gaussian", "max")).facts,
        }
        for cell in CELLS
    }  # fmt: skip
    return writer.Plan(root, GTSRB_CARD, fingerprints, {"train": 3 * parts}, {}, {}, 2, "zstd", lease=lease)


def rows(part: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "image_id": f"train/{3 * part + row:05d}", "label": row, "group": f"{part}/{row}", "split": "train",
                "part": part, "part_in_split": part,
            }
            for row in range(3)
        ]
    )  # fmt: skip


def expand(seed: int) -> Callable[[pa.Table], Iterator[NoisyRows]]:
    def made(group: pa.Table) -> Iterator[NoisyRows]:
        draws = (np.random.default_rng([seed, int(name[-5:])]) for name in group["image_id"].to_pylist())
        pixels = np.stack([draw.integers(0, 256, SIZE_PX**2 * 3, np.uint8) for draw in draws])
        energies = np.ones(len(group), np.uint64)
        for cell in CELLS:
            yield NoisyRows(SIZE_PX, cell.variant, pixels ^ np.uint8(cell.variant != "clean"), energies, energies)

    return made


def write(root: Place, seed: int = 0, parts: int = 2) -> None:
    """What write_datasets does, a task for each part."""
    with writer.locked(root) as lease:
        plan = plan_of(root, seed, lease, parts)
        if isinstance(root, Path):
            plan.staging.mkdir(parents=True)
        tasks = [staging.StagingWriter(plan, lambda: expand(seed)).write(iter([rows(part)])) for part in range(parts)]
        staging.publish(plan, tasks)


def batches(root: Place) -> list[tuple[list[str], bytes]]:
    data = Data(root=str(root), size_px=SIZE_PX, mixture={"clean": 0.5, "gaussian-max": 0.5}, verify=True)
    found = open_stream(data, "train", seed=0, batch_size=4).epoch(0)
    return [(batch.image_ids, batch.images.numpy().tobytes()) for batch in found]


def manifest_of(root: Place, cell: Cell = CELLS[0]) -> Manifest:
    manifest = Manifest.read(cell.folder(root))
    assert manifest is not None
    return manifest


def test_a_bucket_has_the_images_of_a_local_folder(root: UPath, tmp_path: Path) -> None:
    for place in (root, tmp_path / "here"):
        write(place)
    for cell in CELLS:
        there, here = manifest_of(root, cell), manifest_of(tmp_path / "here", cell)
        without_names = {"parts": [part.model_copy(update={"path": ""}) for part in here.parts]}
        assert there.model_copy(update={"parts": [part.model_copy(update={"path": ""}) for part in there.parts]}) == (
            here.model_copy(update=without_names)
        )
        assert all(PART.fullmatch(part.path) for part in there.parts)
        assert writer.is_current(cell.folder(root), plan_of(root).fingerprints[cell], verify=True)
    assert batches(root) == batches(tmp_path / "here")
    assert not [path for path in below(root) if "lease" in path]


def test_a_newer_version_replaces_an_older_one_whose_files_go(root: UPath, tmp_path: Path) -> None:
    write(root, parts=3)
    write(root, seed=1)
    write(tmp_path, seed=1)
    assert batches(root) == batches(tmp_path)
    named = {
        f"{cell.folder(Path()).as_posix()}/{part.path}" for cell in CELLS for part in manifest_of(root, cell).parts
    }
    assert {path for path in below(root) if path.endswith(".parquet")} == named


def test_readers_see_the_old_version_until_the_manifest_is_there(root: UPath, tmp_path: Path) -> None:
    write(root)
    write(tmp_path)
    with writer.locked(root) as lease:
        plan = plan_of(root, 1, lease)
        tasks = [staging.StagingWriter(plan, lambda: expand(1)).write(iter([rows(part)])) for part in range(2)]
        assert sum(path.endswith(".parquet") for path in below(root)) == 2 * 2 * 2
        assert batches(root) == batches(tmp_path)
        staging.publish(plan, tasks)
    assert batches(root) != batches(tmp_path)


def test_what_a_killed_run_uploaded_is_removed_by_the_next_one(root: UPath, tmp_path: Path) -> None:
    write(root)
    plan = plan_of(root, 1)
    staging.StagingWriter(plan, lambda: expand(1)).write(iter([rows(0)]))
    (root / "notes.parquet").write_bytes(b"not ours")
    with writer.locked(root):
        assert sum(path.endswith(".parquet") for path in below(root)) == 2 * 2 + 1
    write(tmp_path)
    assert batches(root) == batches(tmp_path)


def test_a_task_that_fails_uploads_no_part_of_a_file(root: UPath) -> None:
    def fail(group: pa.Table) -> Iterator[NoisyRows]:
        yield from expand(0)(group)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        staging.StagingWriter(plan_of(root), lambda: fail).write(iter([rows(0)]))
    assert not below(root)


def test_a_run_that_lost_its_lock_removes_its_own_files_alone(root: UPath, tmp_path: Path) -> None:
    late = plan_of(root, 1, object_lease._take(root, time.time))
    part = [staging.StagingWriter(late, lambda: expand(1)).write(iter([rows(number)])) for number in range(2)]
    now = plan_of(root, 0, object_lease._take(root, lambda: time.time() + 61))
    tasks = [staging.StagingWriter(now, lambda: expand(0)).write(iter([rows(number)])) for number in range(2)]
    with pytest.raises(StoreError, match="the lock was lost"):
        staging.publish(late, part)
    writer._clear(late)
    assert now.lease is not None
    now.lease.renew()
    staging.publish(now, tasks)
    write(tmp_path)
    assert batches(root) == batches(tmp_path)
    assert sum(path.endswith(".parquet") for path in below(root)) == 2 * 2


def test_files_beside_a_manifest_that_cannot_be_read_stay(root: UPath) -> None:
    write(root)
    folder = CELLS[0].folder(root)
    (folder / MANIFEST_NAME).write_text('{"of": "a later version"}')
    there = below(folder)
    with writer.locked(root):
        pass
    assert below(folder) == there


def test_one_writer_at_a_time(root: UPath) -> None:
    busy = r"another run is writing here \(process \d+ on .*try again in"
    with leased(root), pytest.raises(StoreError, match=busy), writer.locked(root):
        pass
    with writer.locked(root):
        pass
    assert not below(root)


def test_the_lock_of_a_dead_writer_expires_and_it_cannot_publish_later(root: UPath) -> None:
    dead = object_lease._take(root, time.time)
    with pytest.raises(StoreError, match="another run is writing here"):
        object_lease._take(root, time.time)
    later = object_lease._take(root, lambda: time.time() + 61)
    assert later.number == dead.number + 1
    with pytest.raises(StoreError, match=r"the lock was lost, .*were not published"):
        dead.check()
    dead.renew()
    assert [path for path in below(root) if "lease" in path] == [later.path.name]
    with pytest.raises(StoreError, match="the lock was lost"):
        object_store.publish(root, {CELLS[0]: manifest_of_nothing()}, dead)
    assert MANIFEST_NAME not in " ".join(below(root))
    later.renew(lambda: time.time() + 1000)
    later.check(lambda: time.time() + 1000)


def manifest_of_nothing() -> Manifest:
    return Manifest(
        card=GTSRB_CARD, fingerprint={}, content_digest="", counts={}, counts_per_class={}, statistics={}, parts=(),
        source={}, made_by={},
    )  # fmt: skip


def test_of_two_that_want_the_same_lease_one_gets_it(root: UPath) -> None:
    first, second = (Lease(root, 1, owner) for owner in ("first", "second"))
    first.create(time.time)
    with pytest.raises(FileExistsError):
        second.create(time.time)
    first.check()


def test_a_lock_that_is_not_one_is_named(root: UPath) -> None:
    (root / "_lease.00000003").write_text("{}")
    named = r"_lease\.00000003: not a lock of this version; remove it"
    with pytest.raises(StoreError, match=named), writer.locked(root):
        pass


def test_tables_figures_and_reports_work_there(root: UPath) -> None:
    table = writer.write_rejected(root, [Rejected("a.ppm", "empty")])
    assert table.read_text().splitlines() == ["source,reason", "a.ppm,empty"]
    writer.write_rejected(root, [])
    assert not below(root)
    write(root)
    text = io.StringIO()
    console = Console(file=text, width=200)
    report.print_datasets(console, root, CELLS)
    assert f"{root}/geometry=crop_or_pad" in text.getvalue()
    report.warn_of_small_disk(console, root, CELLS, {"train": 10**12}, 3)
    assert "disk" not in text.getvalue()
    part = CELLS[0].folder(root) / manifest_of(root).parts[0].path
    part.write_bytes(part.read_bytes()[:-1])
    report.announce_replacements(console, root, plan_of(root).fingerprints)
    assert re.search(r"will be made again: s3://.*\.parquet: \d+ bytes, but the manifest says", text.getvalue())


def test_a_store_that_fails_while_it_is_read_again_is_named_and_nothing_else_raised(
    server: Server, use: Callable[[str], None], root: UPath
) -> None:
    write(root)
    manifest = manifest_of(root)
    folder = CELLS[0].folder(root)
    assert writer.find_damage(folder, manifest, verify=True) is None
    use("http://127.0.0.1:9")
    gone = read_place(str(folder))
    with pytest.raises(ValueError, match=r"parquet: .*onnect"):
        check_files(gone, manifest)
    settings = load(NoisyDatasets, CONFIG, [f"output_root={root}"])
    with pytest.raises(StoreError, match=r"s3://.*cannot be read or written \(.*onnect"):
        draw_figures(read_place(str(root)), settings)
    with pytest.raises(StoreError, match=r"s3://.*cannot be read or written \(.*onnect"):
        report.announce_replacements(Console(file=io.StringIO()), read_place(str(root)), plan_of(root).fingerprints)


@pytest.mark.parametrize("scheme", ["gs", "abfss", "hdfs", "http", "memory"])
def test_a_store_that_its_lock_was_not_tested_on_is_refused(scheme: str) -> None:
    with pytest.raises(ValueError, match=f"^{scheme}: is not supported yet"):
        read_place(f"{scheme}://bucket/x")


def test_s3_is_read_as_hadoop_writes_it_and_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(read_place("S3A://bucket/x/")) == "s3://bucket/x"
    for text in ("s3://bucket", "s3://"):
        with pytest.raises(ValueError, match="names no folder inside the bucket; use s3://bucket/folder"):
            read_place(text)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match="s3: needs the package s3fs; install it: uv sync --extra s3"):
        read_place("s3://bucket/x")


def test_no_file_has_credentials(root: UPath) -> None:
    write(root)
    store = fsspec.filesystem("s3")
    assert not [path for path in store.find(root.path) if b"hidden-in-no-file" in store.cat_file(path)]
    assert "hidden-in-no-file" not in json.dumps(plan_of(root).fingerprints[CELLS[0]]) + repr(root)


@pytest.mark.parametrize("fault", ["reset", "503", "slow"])
def test_requests_that_fail_now_and_then_are_repeated(
    server: Server, use: Callable[[str], None], root: UPath, tmp_path: Path, fault: Fault
) -> None:
    proxy = FaultyProxy(server.url, lambda *request: fault if request[2] % 9 == 3 else None)
    use(proxy.url)
    write(read_place(str(root)))
    write(tmp_path)
    assert batches(root) == batches(tmp_path)
    assert proxy.faults > 3
    proxy.stop()


def test_credentials_that_expire_change_nothing(
    server: Server, use: Callable[[str], None], root: UPath, tmp_path: Path
) -> None:
    write(root)
    write(tmp_path)
    proxy = FaultyProxy(server.url, lambda *request: "expired" if "split" in request[1] else None)
    use(proxy.url)
    with pytest.raises(StoreError, match=r"access is denied \(.*expired.*\); check the credentials in the environment"):
        write(read_place(str(root)), seed=1)
    proxy.stop()
    use(server.url)
    assert batches(root) == batches(tmp_path)


def test_a_server_that_does_not_answer_and_a_missing_bucket_are_named(
    server: Server, use: Callable[[str], None]
) -> None:
    use(server.url)
    with pytest.raises(StoreError, match=r"s3://nowhere/x: there is no such bucket or file .*, or create it"):
        write(read_place("s3://nowhere/x"))
    use("http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"s3://bucket/x: cannot be read or written \(.*onnect.*\); check the address"):
        write(read_place("s3://bucket/x"))
