"""The main job on the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import fake_gtsrb
import pandas as pd
import polars as pl
import pytest
from pyspark.sql import SparkSession
from run_here import RunHere

from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load, to_yaml


@pytest.fixture(scope="module")
def no_arguments(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory in which the job was submitted with no argument at all."""
    cwd = tmp_path_factory.mktemp("cwd")
    program = Path(sys.executable).with_name("spark-submit")
    environment = {**os.environ, "COLUMNS": "200", "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(program), str(repository / "jobs" / "make_noisy_datasets.py")]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (cwd / "stdout").write_text(done.stdout)
    return cwd


def test_without_arguments_it_makes_synthetic_signs_and_says_so(no_arguments: Path) -> None:
    said = (no_arguments / "stdout").read_text()
    assert "SYNTHETIC road signs (drawings)" in said
    assert "python jobs/download_dataset.py gtsrb" in said
    assert "40 datasets made, 0 were there already" in said
    assert re.search(r"40\s+gaussian-max\s+1,290\s+1,290\s+430", said)
    assert not list(no_arguments.glob("data/datasets/gtsrb*"))


def test_figures_are_saved_next_to_the_data(no_arguments: Path) -> None:
    folder = no_arguments / "data/datasets/synthetic_signs/geometry=crop_or_pad/_figures"
    assert {path.name for path in folder.iterdir()} == {
        "images_per_class.png",
        "noise_levels-75px.png",
        "one_sample_per_class-75px.png",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())


def test_a_second_run_does_nothing(run_here: RunHere, make_noisy_datasets: ModuleType, no_arguments: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in no_arguments.rglob("*")}
    done = run_here(make_noisy_datasets, no_arguments)
    assert "0 datasets made, 40 were there already, unchanged" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in no_arguments.rglob("*")} == before


def test_four_other_readers_see_the_same_counts(no_arguments: Path, spark: SparkSession) -> None:
    root = no_arguments / "data/datasets/synthetic_signs"
    query = (
        "select size_px, variant, split, count(*) from "
        f"read_parquet('{root}/**/*.parquet', hive_partitioning=true) group by all"
    )
    counts = {tuple(row[:3]): row[3] for row in duckdb.sql(query).fetchall()}
    assert len(counts) == 4 * 10 * 3
    assert sum(counts.values()) == 40 * (43 * 60 + 430)
    cell = root / "geometry=crop_or_pad/size_px=40/variant=gaussian-max"
    expected = {split: counts[40, "gaussian-max", split] for split in ("train", "validation", "test")}
    in_pandas = pd.read_parquet(cell).groupby("split", observed=True).size()
    assert in_pandas.to_dict() == expected
    in_polars = pl.scan_parquet(cell / "**/*.parquet", hive_partitioning=True).group_by("split").len().collect()
    assert dict(in_polars.iter_rows()) == expected
    in_spark = spark.read.parquet(str(root / "geometry=crop_or_pad")).where("size_px = 40 and variant = 'gaussian-max'")
    assert {row["split"]: row["count"] for row in in_spark.groupBy("split").count().collect()} == expected


def test_dry_run_makes_nothing(run_here: RunHere, make_noisy_datasets: ModuleType, tmp_path: Path) -> None:
    fake_gtsrb.write_official(tmp_path / "raw", fake_gtsrb.make_images())
    arguments = ("--dry-run", f"dataset.root={tmp_path / 'raw'}", "sizes_px=[28]", *fake_gtsrb.ITS_CLASSES)
    done = run_here(make_noisy_datasets, tmp_path, *arguments)
    assert done.returncode == 0
    assert "22 images listed, 0 lines or files rejected" in done.stdout
    assert "data/datasets/gtsrb/geometry=crop_or_pad/size_px=28/variant=periodic-avg" in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("noise", ["paper", "[paper,proposal]", "ladder", "held_out"])
def test_the_settings_that_a_dry_run_prints_are_a_config(repository: Path, tmp_path: Path, noise: str) -> None:
    defaults = repository / "conf" / "make_noisy_datasets.yaml"
    settings = load(NoisyDatasets, defaults, [f"noise={noise}", "output_root=s3://bucket/x"])
    (tmp_path / "printed.yaml").write_text(to_yaml(settings))
    assert load(NoisyDatasets, tmp_path / "printed.yaml", (), defaults) == settings


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["sizes=[28]"], 2, "sizes: unknown key; there are: dataset, output_root,"),
        (["seed=many"], 2, "seed: must be a whole number, got 'many'"),
        (["variants=[gaussian-huge]"], 2, "variants: unknown: gaussian-huge; with this noise there are: clean,"),
        (["noise=nothing"], 2, "there are: held_out, ladder, paper, proposal"),
        (["noise=[]"], 2, "noise=[]: names nothing of"),
        (["noise.gaussian.levels.max.std_grey=-1"], 2, "gaussian.levels.max.std_grey: must be at least 0"),
        (
            ["geometry=stretch"],
            2,
            "expected one of crop_or_pad, resize, roi_resize, jittered_roi",
        ),
        (["--config", "missing.yaml"], 2, "missing.yaml: no such file"),
        (["dataset.root=nowhere"], 1, "nowhere: no such folder; check dataset.root"),
        (["output_root=/proc/nothing"], 1, "cannot be created or opened"),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    run_here: RunHere, make_noisy_datasets: ModuleType, tmp_path: Path, arguments: list[str], exit_code: int,
    message: str,
) -> None:  # fmt: skip
    done = run_here(make_noisy_datasets, tmp_path, *arguments)
    assert done.returncode == exit_code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_folder_is_named_without_a_traceback(
    run_here: RunHere, make_noisy_datasets: ModuleType, tmp_path: Path
) -> None:
    fake_gtsrb.write_official(tmp_path / "raw", fake_gtsrb.make_images())
    in_the_way = tmp_path / "out" / "gtsrb" / "_rejected.csv"
    in_the_way.mkdir(parents=True)
    arguments = (f"dataset.root={tmp_path / 'raw'}", f"output_root={tmp_path / 'out'}", *fake_gtsrb.ITS_CLASSES)
    done = run_here(make_noisy_datasets, tmp_path, *arguments)
    assert done.returncode == 1
    assert f"error: {in_the_way}: " in done.stderr
    assert "Traceback" not in done.stderr
