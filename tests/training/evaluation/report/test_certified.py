"""Certifications in the report: those of its networks, and no others."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ladder_predictions import subject

from training.classifiers.trained import Classifier, Shape
from training.evaluation.certification.table import CELLS
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.report.certified import certified_section
from training.evaluation.report.contract import Grid, Picture
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.models.baseline_cnn import BaselineCnn

MODEL = "cnn-seed1"
VALUES = {(None, "accuracy"): 0.95, (50.0, "accuracy_empirical"): 0.9, (50.0, "accuracy_certified"): 0.8,
          (33.0, "accuracy_empirical"): 0.6, (33.0, "accuracy_certified"): 0.25}  # fmt: skip


def models() -> dict[str, EvaluatedModel]:
    shape = Shape(8, 4, (0.5,) * 3, (0.3,) * 3)
    classifier = Classifier(shape.build(BaselineCnn(), 0), BaselineCnn(), shape)
    return {name: EvaluatedModel(classifier, None) for name in ("cnn-seed0", MODEL)}


def write(folder: Path, model: str = MODEL, split: str = "test", digest: str = "digest of 0.0") -> Path:
    rows = [
        {"model": model, "run": None, "dataset_digest": digest, "size_px": 8, "split": split, "method": "smoothing",
         "snr_db": ratio, "metric": metric, "value": value, "low": value - 0.05, "high": value + 0.04, "images": 100,
         "groups": 10, "design_effect": 2.0, "unit": "group"}
        for (ratio, metric), value in VALUES.items()
    ]  # fmt: skip
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, CELLS), folder / "certification.parquet")
    return folder


def test_each_ratio_has_its_certified_and_its_empirical_accuracy(tmp_path: Path) -> None:
    section = certified_section([write(tmp_path / "one")], [subject("A", 14.0, 15.0)], models(), "test")
    (grid,) = [block for block in section.blocks if isinstance(block, Grid)]
    assert grid.header[1:] == [f"A: {MODEL}, smoothing, empirical", f"A: {MODEL}, smoothing, certified"]
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["no attack", "95.0", "95.0"], ["50 dB", "90.0", "80.0"], ["33 dB", "60.0", "25.0"],
    ]  # fmt: skip
    assert grid.rows[2][2].note == "20.0 – 29.0"
    assert grid.data is not None and grid.data.num_rows == len(VALUES)
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    lines = {line.get_label(): line for line in picture.figure.axes[0].containers}
    assert set(lines) == set(grid.header[1:])


def test_a_certification_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "other", "another")
    with pytest.raises(EvaluationError, match="is of another, which is not in this report"):
        certified_section([folder], [subject("A", 14.0, 15.0)], models(), "test")


def test_a_folder_without_a_certification_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"certificates=.*empty: certification.parquet cannot be read"):
        certified_section([tmp_path / "empty"], [subject("A", 15.0)], models(), "test")


@pytest.mark.parametrize("other", [{"split": "validation"}, {"digest": "another"}])
def test_a_certification_of_other_images_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    folder = write(tmp_path / "other", **other)
    with pytest.raises(EvaluationError, match="is of other images"):
        certified_section([folder], [subject("A", 14.0, 15.0)], models(), "test")
