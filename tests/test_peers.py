"""The races of benchmarks/peers.py and benchmarks/stream_images.py on a few small images; the tools that are raced
against are an optional group of packages."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from fake_gtsrb import make_images, write_official
from small_datasets import Small

from pipelines.datasets import SourceImage
from pipelines.datasets.gtsrb import Gtsrb

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PACKAGES = {"ray_data": "ray", "hugging_face": "datasets", "albumentations_pool": "albumentations"}


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        spec = importlib.util.spec_from_file_location("race_of_peers", BENCHMARKS / "peers.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[SourceImage]:
    root = tmp_path_factory.mktemp("raw") / "GTSRB"
    write_official(root, make_images(frames=8))
    return Gtsrb(root=root, allow_missing_classes=True).listing().images


@pytest.fixture(scope="module")
def sample(peers: ModuleType, images: list[SourceImage], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return peers.make_sample(images, tmp_path_factory.mktemp("sample") / "images")


@pytest.fixture(scope="module")
def written(peers: ModuleType, sample: Any, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The rows of the plain script."""
    folder = tmp_path_factory.mktemp("plain")
    subprocess.run(peers.command_of("plain_script", sample, folder), check=True)
    return ds.dataset(folder).to_table()


def faults(peers: ModuleType, sample: Any, rows: pa.Table, folder: Path) -> str:
    pq.write_table(rows, folder / "rows.parquet")
    return "; ".join(peers.faults_of(folder, sample.expected))


def with_column(rows: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type))


def test_the_sample_is_spread_over_the_listing(peers: ModuleType, images: list[SourceImage]) -> None:
    assert peers.spread(images, len(images)) == images
    quarter = peers.spread(images, len(images) // 4)
    assert len(quarter) == len(images) // 4
    assert {image.label for image in quarter} == {0, 14, 42}
    with pytest.raises(SystemExit, match="there are 52"):
        peers.spread(images, 53)
    with pytest.raises(SystemExit, match="unpack"):
        peers.spread([images[0]._replace(archive="a.zip")], 1)


def test_the_recipe_of_the_peers_is_that_of_this_project(
    peers: ModuleType, sample: Any, written: pa.Table, tmp_path: Path
) -> None:
    assert len(written) == sample.written == 520
    assert faults(peers, sample, written, tmp_path) == ""


def test_other_outputs_are_refused(peers: ModuleType, sample: Any, written: pa.Table, tmp_path: Path) -> None:
    def found(rows: pa.Table) -> str:
        return faults(peers, sample, rows, tmp_path)

    assert "images are missing or there twice" in found(written.slice(1))
    assert "images are missing or there twice" in found(pa.concat_tables([written, written.slice(0, 1)]))
    assert "the label of another image" in found(with_column(written, "label", [7] * len(written)))
    assert "not among the images" in found(with_column(written, "image_id", ["another"] * len(written)))
    assert "is not 4,800 bytes" in found(with_column(written, "image", [b"\0" * 4799] * len(written)))
    assert "not one of" in found(with_column(written, "variant", ["blur-max"] * len(written)))
    swapped = {"gaussian-max": "gaussian-avg", "gaussian-avg": "gaussian-max"}
    names = [swapped.get(name, name) for name in written["variant"].to_pylist()]
    assert "gaussian-avg: changes by" in found(with_column(written, "variant", names))


def test_start_up_is_apart_from_the_steady_state(peers: ModuleType) -> None:
    pace = peers.Pace.through({4000: [7.0, 99.0, 5.0], 1000: [4.0, 4.0, 4.0]})
    assert pace == pytest.approx((3.0, 1000.0, 7.0))
    assert peers.Pace.through({4000: [4.0], 1000: [4.0]}) is None
    table = peers.table_of({"plain_script": pace, peers.OURS: pace._replace(images_per_s=4000.0)}, 4000)
    assert [line.split(" | ")[3:5] for line in table.splitlines()[2:]] == [["4,000", "1.00"], ["1,000", "0.25"]]


def test_a_tool_that_is_refused_runs_no_more_and_has_no_figure(
    peers: ModuleType, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def seconds_of(name: str, sample: Any, work: Path) -> float:
        if name == "ray_data":
            raise peers.RefusedError("wrote something else: clean: 1 images are missing")
        return 2.0

    monkeypatch.setattr(peers, "seconds_of", seconds_of)
    times = peers.race(["plain_script", "ray_data"], [sample], 2, tmp_path)
    assert times == {"plain_script": {520: [2.0, 2.0]}}
    assert capsys.readouterr().err.count("ray_data") == 1


def test_a_tool_that_is_not_installed_is_named_with_what_to_type(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(peers.TOOLS, "ray_data", peers.Tool("Ray Data", "no_such_package"))
    assert peers.contestants(["ray_data", "plain_script"]) == ["plain_script"]
    assert capsys.readouterr().err == (
        "not installed: no_such_package; type: uv pip install -r benchmarks/peers/requirements.txt\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PACKAGES, "make_noisy_datasets"])
def test_every_tool_writes_the_expected_images(peers: ModuleType, sample: Any, tmp_path: Path, name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    assert peers.seconds_of(name, sample, tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_way_of_streaming_reads_all_images(tmp_path: Path) -> None:
    pytest.importorskip("spdl")
    pytest.importorskip("litdata")
    root = Small({"train": [[20, 12], [30]]}, size_px=16).write(tmp_path)
    command = [sys.executable, str(BENCHMARKS / "stream_images.py"), str(root), "--peers", "--size-px=16", "--runs=1"]
    done = subprocess.run([*command, "--batch-size=8"], check=True, capture_output=True, text=True)
    assert "\n62 images" in done.stdout
    for way in ("SPDL", "LitData", "ImageFolder,"):
        assert "images/s" in next(line for line in done.stdout.splitlines()[-12:] if way in line)
