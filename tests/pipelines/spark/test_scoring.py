"""The selection of images to score."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_datasets import Small

from pipelines.errors import SettingsError, SourceError
from pipelines.spark.scoring import ScoreImages, list_images


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
    listed = list_images(tmp_path, 8, 3)
    assert [(file.image_id, file.reason) for file in listed.files] == [
        ("a/one.ppm", None), ("a/two.jpeg", None), ("b.PNG", None),
    ]  # fmt: skip
    assert (listed.images, listed.row_groups) == (3, [])


def test_nothing_is_left_out_silently(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.tiff", "notes.txt", "c", ".DS_Store", "._a.png", "_old/three.png", "in/_x")
    assert list_images(tmp_path, 8, 3).sentence() == (
        "1 images in 1 files; left out: 3 by their suffix, the first is b.tiff; "
        "4 by a leading dot or underscore, the first is .DS_Store"
    )
    with pytest.raises(SourceError, match="no Parquet file in it; left out: 1 by a leading dot or underscore"):
        list_images(tmp_path / "in", 8, 3)


def test_links_are_followed_and_images_are_not_left_out_silently(tmp_path: Path) -> None:
    folder = touch(tmp_path / "images", "a.png", "sub/b.png")
    touch(tmp_path / "elsewhere", "c.png", "deep/d.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    (folder / "sub" / "round").symlink_to(folder)
    (folder / "sub" / "root").symlink_to("/")
    (folder / "z.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    listed = list_images(folder, 8, 3)
    assert [file.image_id for file in listed.files] == [
        "a.png", "linked/c.png", "linked/deep/d.png", "sub/b.png", "z.png",
    ]  # fmt: skip
    assert {file.reason for file in listed.files} == {None}
    assert listed.left_out == "3 that link back to a folder above them, the first is linked/deep/up"


def test_what_cannot_be_opened_is_listed_with_a_reason_and_not_left_out_silently(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.ppm").symlink_to("/dev/zero")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "mount").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "lost.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "pipe")
    listed = list_images(tmp_path, 8, 3)
    assert {file.image_id: file.reason for file in listed.files} == {
        "a.png": None,
        "lost.png": "a broken link",
        "mount": "a broken link",
        "pipe.png": "not a regular file but a pipe, a socket or a device",
        "self.png": "cannot be opened (Too many levels of symbolic links)",
        "zero.ppm": "not a regular file but a pipe, a socket or a device",
    }
    assert listed.left_out == "2 by their suffix, the first is lost.txt"


def test_a_folder_that_cannot_be_listed_is_not_left_out_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "closed/b.png")
    iterdir = Path.iterdir

    def refused(self: Path) -> Iterator[Path]:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    assert [(file.image_id, file.reason) for file in list_images(tmp_path, 8, 3).files] == [
        ("a.png", None), ("closed", "a folder that cannot be listed (Permission denied)"),
    ]  # fmt: skip


def test_names_that_are_not_utf8_are_spelled_and_have_a_reason_in_all_paths(tmp_path: Path) -> None:
    for name in (b"Stra\xdfe.png", b"\xe4/b.png"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).touch()
    touch(tmp_path, "Straße.png")
    listed = list_images(tmp_path, 8, 3)
    unspeakable = "its name is not UTF-8; rename it"
    assert [(file.path, file.image_id, file.reason) for file in listed.files] == [
        (rf"{tmp_path}/Stra\xdfe.png", r"Stra\xdfe.png", unspeakable),
        (f"{tmp_path}/Straße.png", "Straße.png", None),
        (rf"{tmp_path}/\xe4/b.png", r"\xe4/b.png", unspeakable),
    ]


@pytest.mark.parametrize("name", ["a #1 %20?", "Übersicht ä", "quote ' \" \\", "new\nline", "semi;colon:{}*"])
def test_odd_paths_are_listed_as_they_are(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name, f"{name}.png")
    assert list_images(tmp_path / name, 8, 3).files == [(f"{tmp_path}/{name}/{name}.png", f"{name}.png", None)]


@pytest.mark.parametrize("made", ["pipe", "link", "device"])
def test_a_parquet_path_that_is_not_a_regular_file_is_refused_and_never_opened(tmp_path: Path, made: str) -> None:
    Small({"test": [[3]]}, size_px=8).write(tmp_path)
    path = tmp_path / "a.parquet"
    if made == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if made == "device" else tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"a\.parquet: .*; repair it, or remove it from"):
        list_images(tmp_path, 8, 3)


def test_one_file_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    assert list_images(tmp_path / "b.png", 8, 3).files == [(str(tmp_path / "b.png"), "b.png", None)]


def test_every_row_group_of_a_dataset_is_listed(tmp_path: Path) -> None:
    Small({"test": [[3, 2], [4]]}, size_px=8).write(tmp_path)
    listed = list_images(tmp_path, 8, 3)
    assert listed.images == 9
    assert [(Path(path).name, number) for path, number in listed.row_groups] == [
        ("part-00000.parquet", 0), ("part-00000.parquet", 1), ("part-00001.parquet", 0),
    ]  # fmt: skip


def test_images_of_another_size_than_the_models_are_refused(tmp_path: Path) -> None:
    Small({"test": [[3]]}, size_px=8).write(tmp_path)
    with pytest.raises(SourceError, match="images of 8 px, HWC RGB; the model is for 40 px"):
        list_images(tmp_path, 40, 3)


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match=r"other\.parquet: not from a dataset"):
        list_images(tmp_path, 8, 3)
    strange = pa.schema(
        [("image_id", pa.string()), ("image", pa.string())], {"pixel_dtype": "uint8", "size_px": b"\xff"}
    )
    pq.write_table(pa.table({"image_id": ["a"], "image": ["a"]}, strange), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match=r"other\.parquet: not from a dataset"):
        list_images(tmp_path, 8, 3)
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"other\.parquet: not readable as Parquet"):
        list_images(tmp_path, 8, 3)


def test_a_folder_of_both_kinds_is_ambiguous(tmp_path: Path) -> None:
    Small({"test": [[3]]}, size_px=8).write(tmp_path)
    with pytest.raises(SourceError, match="choose one kind"):
        list_images(touch(tmp_path, "a.png"), 8, 3)


@pytest.mark.parametrize("name", ["there", "nowhere"])
def test_nothing_to_score_is_reported(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "there/notes.txt")
    with pytest.raises(SourceError, match=r"no image|no such file or folder"):
        list_images(tmp_path / name, 8, 3)


def test_scores_among_the_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="output is inside images"):
        asked(tmp_path, tmp_path / "scores")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="output is inside images"):
        asked(tmp_path, tmp_path / "link" / "scores")
    with pytest.raises(ValueError, match="choose a folder to be created"):
        asked(tmp_path, Path("."))


def test_the_default_geometry_is_the_models(tmp_path: Path) -> None:
    assert asked(tmp_path / "a", tmp_path / "b").geometry_for("resize").kind == "resize"
    assert asked(tmp_path / "a", tmp_path / "b", geometry="crop_or_pad").geometry_for("resize").kind == "crop_or_pad"


def test_a_geometry_that_needs_an_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs the sign's region"):
        asked(tmp_path / "a", tmp_path / "b").geometry_for("roi_resize")
