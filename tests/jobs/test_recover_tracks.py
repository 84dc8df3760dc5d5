"""jobs/recover_tracks.py on drawn tracks: the file it writes, when it writes none, and what it says."""

from pathlib import Path
from types import ModuleType

import pytest
from fake_gtsrb import write_official
from synthetic_tracks import FRAMES, make_tracks

from pipelines.store import recovered_groups


def arguments(root: Path, output: Path, *more: str) -> list[str]:
    return [f"dataset.root={root}", "dataset.allow_missing_classes=true", f"output={output}", *more]


def test_it_measures_itself_and_writes_the_groups(
    recover_tracks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, _ = make_tracks()
    write_official(tmp_path / "raw", images)
    output = tmp_path / "groups" / "test.parquet"
    assert recover_tracks.main(arguments(tmp_path / "raw", output, "folds=2")) == 0
    found = recovered_groups.read(output)
    said = capsys.readouterr().out
    assert len(found.groups) == 2 * 3 * FRAMES
    assert found.recovery.dataset == "gtsrb"
    assert found.recovery.measured is not None
    assert f"precision {found.recovery.measured.precision:.4f}" in said
    assert "none of which was learned from" in said
    assert f"digest {found.digest}" in said
    before = output.read_bytes()
    assert recover_tracks.main(arguments(tmp_path / "raw", output, "folds=2")) == 0
    assert output.read_bytes() == before


def test_a_dry_run_makes_nothing(
    recover_tracks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, _ = make_tracks(training=1, tests=2)
    write_official(tmp_path / "raw", images)
    assert recover_tracks.main(arguments(tmp_path / "raw", tmp_path / "groups", "--dry-run")) == 0
    assert "120 test images are 4 tracks" in capsys.readouterr().out
    assert not (tmp_path / "groups").exists()


def test_where_nothing_can_be_measured_it_writes_and_says_why(
    recover_tracks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, _ = make_tracks(training=2, tests=2)
    write_official(tmp_path / "raw", images)
    assert recover_tracks.main(arguments(tmp_path / "raw", tmp_path / "test.parquet")) == 0
    recovery = recovered_groups.read(tmp_path / "test.parquet").recovery
    assert recovery.measured is None
    assert "no class has two whole tracks" in recovery.not_measured
    assert f"not measured: {recovery.not_measured}" in capsys.readouterr().out


def test_it_refuses_to_write_what_is_not_good_enough(
    recover_tracks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames of different tracks have changed places."""
    images, _ = make_tracks(labels=(3,), training=6)
    training = [image for image in images if image.split == "train"]
    mixed = [image._replace(track=number % 6) for number, image in enumerate(training)]
    mixed = [image._replace(frame=number // 6) for number, image in enumerate(mixed)]
    write_official(tmp_path / "raw", [*mixed, *(image for image in images if image.split == "test")])
    assert recover_tracks.main(arguments(tmp_path / "raw", tmp_path / "test.parquet", "folds=2")) == 1
    assert "test.parquet: not written: pairwise precision 0." in capsys.readouterr().err
    assert not (tmp_path / "test.parquet").exists()


def test_a_threshold_below_that_of_the_documentation_is_refused(
    recover_tracks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recover_tracks.main(arguments(tmp_path, tmp_path / "test.parquet", "at_least=0.9")) == 2
    assert "at_least" in capsys.readouterr().err
