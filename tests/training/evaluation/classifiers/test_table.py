from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.classifiers.table import (
    SCHEMA,
    Subject,
    description,
    make_table,
    tracked_metrics,
    write_table,
)  # fmt: skip

CLEAN = Subject("cnn", "r1", "abc", 40, "none", "none", "test")
NOISY = Subject("cnn", "r1", "def", 40, "salt_pepper", "max", "test")
OTHER = Subject("other", None, "abc", 40, "none", "none", "test")
MEASURED = [
    (
        CLEAN,
        [
            Measurement("accuracy", 0.75, 0.7, 0.8, 60, 2, 12.5, "group"),
            Measurement("f1", 0.5),
            Measurement("recall/14", None),
        ],
    ),
    (NOISY, [Measurement("accuracy", 0.25, 0.2, 0.3), Measurement("fpr", None), Measurement("recall_weighted", 0.25)]),
    (OTHER, [Measurement("accuracy", 1.0, 0.9, 1.0)]),
]
COLUMNS = [
    "model", "run", "dataset_digest", "size_px", "noise", "level", "split", "metric", "value", "low", "high", "images",
    "groups", "design_effect", "unit",
]  # fmt: skip
TYPES = [
    "string", "string", "string", "int32", "string", "string", "string", "string", "double", "double", "double",
    "int64", "int64", "double", "string",
]  # fmt: skip
NOTHING = (None, None, None, None)
ROWS = [
    ("cnn", "r1", "abc", 40, "none", "none", "test", "accuracy", 0.75, 0.7, 0.8, 60, 2, 12.5, "group"),
    ("cnn", "r1", "abc", 40, "none", "none", "test", "f1", 0.5, None, None, *NOTHING),
    ("cnn", "r1", "abc", 40, "none", "none", "test", "recall/14", None, None, None, *NOTHING),
    ("cnn", "r1", "def", 40, "salt_pepper", "max", "test", "accuracy", 0.25, 0.2, 0.3, *NOTHING),
    ("cnn", "r1", "def", 40, "salt_pepper", "max", "test", "fpr", None, None, None, *NOTHING),
    ("cnn", "r1", "def", 40, "salt_pepper", "max", "test", "recall_weighted", 0.25, None, None, *NOTHING),
    ("other", None, "abc", 40, "none", "none", "test", "accuracy", 1.0, 0.9, 1.0, *NOTHING),
]


def test_the_columns_are_those_that_other_programs_rely_on() -> None:
    assert SCHEMA.names == COLUMNS
    assert [str(field.type) for field in SCHEMA] == TYPES
    assert [tuple(row.values()) for row in make_table(MEASURED).to_pylist()] == ROWS


def test_pandas_polars_and_duckdb_read_what_was_written(tmp_path: Path) -> None:
    parquet, csv = write_table(make_table(MEASURED), tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["evaluation.csv", "evaluation.parquet"]
    assert pq.read_schema(parquet).equals(SCHEMA)
    assert pl.read_parquet(parquet).rows() == ROWS
    assert pl.read_csv(csv, schema_overrides={"run": pl.String}).rows() == ROWS
    assert duckdb.sql(f"select * from '{parquet}'").fetchall() == ROWS
    assert duckdb.sql(f"select * from '{csv}'").fetchall() == ROWS
    for frame in (pd.read_parquet(parquet), pd.read_csv(csv)):
        assert list(frame.columns) == COLUMNS
        assert frame.query("level == 'max' and metric == 'accuracy'")["high"].tolist() == [0.3]


def test_tracked_metrics_have_stable_names_and_no_classes() -> None:
    table = make_table(MEASURED)
    assert tracked_metrics(table, "cnn") == {
        "accuracy/clean": 0.75, "accuracy_low/clean": 0.7, "accuracy_high/clean": 0.8, "f1/clean": 0.5,
        "accuracy/salt_pepper-max": 0.25, "accuracy_low/salt_pepper-max": 0.2, "accuracy_high/salt_pepper-max": 0.3,
    }  # fmt: skip
    assert tracked_metrics(table, "other")["accuracy/clean"] == 1.0


def test_the_description_of_a_run_has_its_notes_and_its_noise_table() -> None:
    about = {"settings": {"tracking": {"notes": "half of the **signs**"}}}
    assert description(make_table(MEASURED), "cnn", about).splitlines() == [
        "half of the **signs**", "", "| variant | images right, % | 95 % interval |", "|---|--:|--:|",
        "| clean | 75.0 | 70.0 – 80.0 |", "| salt_pepper-max | 25.0 | 20.0 – 30.0 |",
    ]  # fmt: skip
    assert description(make_table(MEASURED), "other", {}).startswith("| variant |")


def test_a_folder_that_cannot_be_written_is_named_and_no_file_is_left(tmp_path: Path) -> None:
    (tmp_path / "evaluation.parquet").mkdir()
    (tmp_path / "evaluation.parquet" / "in_the_way").touch()
    with pytest.raises(EvaluationError, match=r"evaluation.parquet: cannot be written .* another output_root"):
        write_table(make_table(MEASURED), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.parquet"]
