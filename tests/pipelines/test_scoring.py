"""Which images are shown to a classifier."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_datasets import Small

from pipelines.errors import SettingsError, SourceError
from pipelines.scoring import ScoreImages, list_images


def asked(images: Path, output: Path, **fields: object) -> ScoreImages:
    values = {"model": "latest", "images": images, "output": output, "noisy_above_std_grey": 15.0, **fields}
    return ScoreImages.model_validate(values)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_image_files_are_found_in_all_folders_in_order_of_their_names(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.PNG", "a/two.jpeg", "a/one.ppm", "notes.txt", ".hidden.png", "_old/three.png", "a/.cache/four.png"
    )
    listed = list_images(tmp_path, 8)
    assert [name for _, name in listed.files] == ["a/one.ppm", "a/two.jpeg", "b.PNG"]
    assert (listed.images, listed.row_groups) == (3, [])


def test_one_file_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    assert list_images(tmp_path / "b.png", 8).files == [(str(tmp_path / "b.png"), "b.png")]


def test_every_row_group_of_a_dataset_is_listed(tmp_path: Path) -> None:
    Small({"test": [[3, 2], [4]]}, size_px=8).write(tmp_path)
    listed = list_images(tmp_path, 8)
    assert listed.images == 9
    assert [(Path(path).name, number) for path, number in listed.row_groups] == [
        ("part-00000.parquet", 0), ("part-00000.parquet", 1), ("part-00001.parquet", 0),
    ]  # fmt: skip


def test_images_of_another_size_than_the_models_are_refused(tmp_path: Path) -> None:
    Small({"test": [[3]]}, size_px=8).write(tmp_path)
    with pytest.raises(SourceError, match="images of 8 px, HWC RGB; the model is for 40 px"):
        list_images(tmp_path, 40)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match=r"other\.parquet: not of a dataset"):
        list_images(tmp_path, 8)
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"other\.parquet: not readable as Parquet"):
        list_images(tmp_path, 8)


def test_a_folder_of_both_kinds_is_ambiguous(tmp_path: Path) -> None:
    Small({"test": [[3]]}, size_px=8).write(tmp_path)
    with pytest.raises(SourceError, match="name one of both"):
        list_images(touch(tmp_path, "a.png"), 8)


@pytest.mark.parametrize("name", ["there", "nowhere"])
def test_nothing_to_score_is_said(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "there/notes.txt")
    with pytest.raises(SourceError, match=r"no image|no such file or folder"):
        list_images(tmp_path / name, 8)


def test_scores_among_the_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="output lies in images"):
        asked(tmp_path, tmp_path / "scores")


def test_the_geometry_is_the_models_own_where_none_is_asked_for(tmp_path: Path) -> None:
    assert asked(tmp_path / "a", tmp_path / "b").geometry_for("resize").kind == "resize"
    assert asked(tmp_path / "a", tmp_path / "b", geometry="crop_or_pad").geometry_for("resize").kind == "crop_or_pad"


def test_a_geometry_that_needs_an_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs the sign's region"):
        asked(tmp_path / "a", tmp_path / "b").geometry_for("roi_resize")
