import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from pipelines.datasets.gtsrb_card import DRAWN_STAMP
from pipelines.datasets.synthetic_drawing import SIGNS
from pipelines.datasets.synthetic_signs import PARAMETERS, SyntheticSigns
from pipelines.datasets.synthetic_tracks import ANNOTATED, FRAMES_PER_TRACK
from pipelines.errors import SourceError

CLASSES = 43
SMALL = SyntheticSigns(tracks_per_class=2, test_images_per_class=2, drawing_seed=5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _at(tmp_path_factory.mktemp("drawn") / "signs").ensure()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes with two frames, for tests of folders rather than drawings."""
    monkeypatch.setattr("pipelines.datasets.synthetic_signs.SIGNS", SIGNS[:2])
    monkeypatch.setattr("pipelines.datasets.synthetic_tracks.FRAMES_PER_TRACK", 2)


def _at(root: Path, drawing_seed: int = SMALL.drawing_seed, tracks_per_class: int = 2) -> SyntheticSigns:
    changed = {"root": root, "drawing_seed": drawing_seed, "tracks_per_class": tracks_per_class}
    return SMALL.model_copy(update=changed)


def _bytes(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _annotations(root: Path) -> list[tuple[Path, dict[str, int]]]:
    """Each annotated image file with its annotated numbers."""
    found = []
    for annotations in sorted(root.rglob("GT-*.csv")):
        with annotations.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter=";"):
                name = row.pop("Filename")
                found.append((annotations.parent / name, {key: int(value) for key, value in row.items()}))
    return found


def test_the_folders_are_those_of_gtsrb(drawn: Path) -> None:
    classes = [f"{class_id:05d}" for class_id in range(CLASSES)]
    training = {
        f"Final_Training/Images/{name}/{track:05d}_{frame:05d}.ppm"
        for name, track, frame in itertools.product(classes, range(2), range(30))
    }
    annotations = {f"Final_Training/Images/{name}/GT-{name}.csv" for name in classes}
    test = {f"Final_Test/Images/{number:05d}.ppm" for number in range(2 * CLASSES)}
    tables = {"Final_Test/Images/GT-final_test.csv", DRAWN_STAMP, PARAMETERS}
    assert set(_bytes(drawn)) == training | annotations | test | tables


def test_annotations_are_written_as_in_gtsrb(drawn: Path) -> None:
    for path in sorted(drawn.rglob("GT-*.csv")):
        lines = path.read_bytes().split(b"\r\n")
        assert lines[0].decode() == ANNOTATED == "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
        assert lines[-1] == b"" and b"\n" not in b"".join(lines)
        assert len(lines) - 2 == (2 * CLASSES if "final" in path.name else 2 * 30)


def test_annotations_match_the_images(drawn: Path) -> None:
    annotated = _annotations(drawn)
    assert {path for path, _ in annotated} == set(drawn.rglob("*.ppm"))
    for path, row in annotated:
        assert path.read_bytes().startswith(b"P6\n")
        with Image.open(path) as image:
            assert (image.mode, *image.size) == ("RGB", row["Width"], row["Height"])
        if "Final_Training" in path.parts:
            assert row["ClassId"] == int(path.parent.name)


def test_the_sign_lies_in_the_middle_inside_a_border(drawn: Path) -> None:
    for _, row in _annotations(drawn):
        borders = (
            row["Roi.X1"],
            row["Roi.Y1"],
            row["Width"] - 1 - row["Roi.X2"],
            row["Height"] - 1 - row["Roi.Y2"],
        )
        assert min(borders) >= 5
        assert max(borders) <= 0.15 * max(row["Width"], row["Height"]) + 5


def test_sizes_are_those_of_gtsrb(drawn: Path) -> None:
    sides = np.array([(row["Width"], row["Height"]) for _, row in _annotations(drawn)])
    assert sides.min() >= 25 and sides.max() <= 243
    assert 40 <= sides.mean() <= 65
    assert np.mean(sides[:, 0] != sides[:, 1]) > 0.5


def test_signs_grow_along_a_track(drawn: Path) -> None:
    widths: dict[str, list[int]] = {}
    for path, row in _annotations(drawn / "Final_Training"):
        widths.setdefault(f"{row['ClassId']}/{path.name[:5]}", []).append(row["Roi.X2"] - row["Roi.X1"] + 1)
    assert len(widths) == 2 * CLASSES
    for track in widths.values():
        assert len(track) == FRAMES_PER_TRACK == 30
        assert min(np.diff(track)) >= -1
        assert track[-1] > 1.6 * track[0]


def test_frames_of_one_track_resemble_each_other_more_than_other_tracks(drawn: Path) -> None:
    def pixels(track: int, frame: int) -> NDArray[np.float64]:
        name = f"{track:05d}_{frame:05d}.ppm"
        images = [Image.open(folder / name) for folder in sorted((drawn / "Final_Training" / "Images").iterdir())]
        return np.stack([np.asarray(image.resize((24, 24)), dtype=np.float64) for image in images])

    last = pixels(0, 29)
    assert np.abs(last - pixels(0, 28)).mean() < 0.3 * np.abs(last - pixels(1, 29)).mean()


def test_test_images_are_in_no_order_of_classes(drawn: Path) -> None:
    class_ids = [row["ClassId"] for _, row in _annotations(drawn / "Final_Test")]
    assert sorted(class_ids) == sorted([*range(CLASSES), *range(CLASSES)])
    assert class_ids != sorted(class_ids)


def test_the_same_settings_give_the_same_bytes_in_any_number_of_processes(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.datasets.synthetic_tracks.IMAGES_PER_PROCESS", 1000)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert _bytes(_at(tmp_path / "elsewhere").ensure()) == _bytes(drawn)


@pytest.mark.usefixtures("quick")
def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    one, other = (_bytes(_at(tmp_path / str(seed), drawing_seed=seed).ensure()) for seed in (5, 6))
    images = [name for name in one if name.endswith(".ppm")]
    assert set(one) == set(other)
    assert not [name for name in images if one[name] == other[name]]


@pytest.mark.usefixtures("quick")
def test_a_track_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    two = _bytes(_at(tmp_path / "two").ensure())
    three = _bytes(_at(tmp_path / "three", tracks_per_class=3).ensure())
    shared = [name for name in two if name.endswith(".ppm")]
    assert len(shared) == 12
    assert all(three[name] == two[name] for name in shared)


def test_an_existing_data_set_is_kept(drawn: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (drawn, *drawn.rglob("*"))}
    assert _at(drawn).ensure() == drawn
    assert {path: path.stat().st_mtime_ns for path in (drawn, *drawn.rglob("*"))} == before


@pytest.mark.usefixtures("quick")
def test_other_settings_replace_an_existing_data_set(tmp_path: Path) -> None:
    root = _at(tmp_path / "signs").ensure()
    _at(root, drawing_seed=6, tracks_per_class=3).ensure()
    assert json.loads((root / DRAWN_STAMP).read_bytes()) == {
        "drawing_seed": 6,
        "drawing_version": 2,
        "kind": "synthetic_signs",
        "test_images_per_class": 2,
        "tracks_per_class": 3,
    }
    assert len(list(root.glob("Final_Training/Images/00001/*.ppm"))) == 3 * 2
    assert [path.name for path in tmp_path.iterdir()] == ["signs"]


def test_a_folder_that_is_named_alone_is_taken_as_it_was_drawn(drawn: Path) -> None:
    """`dataset.root=<folder>`: not replaced by signs of the default seed."""
    assert SyntheticSigns(root=drawn) == SMALL.model_copy(update={"root": drawn})
    assert SyntheticSigns.model_validate_json(json.dumps({"root": str(drawn)})).drawing_seed == 5
    assert SyntheticSigns(root=drawn, drawing_seed=6) == SyntheticSigns(
        root=drawn, drawing_seed=6, tracks_per_class=2, test_images_per_class=10
    )


@pytest.mark.parametrize(("stamp", "seed"), [(b"[]", 0), (b"{", 0), (b"\xff", 0), (b'{"drawing_seed": 5}', 5)])
def test_what_a_damaged_stamp_does_not_say_is_the_default(stamp: bytes, seed: int, tmp_path: Path) -> None:
    (tmp_path / DRAWN_STAMP).write_bytes(stamp)
    assert SyntheticSigns(root=tmp_path) == SyntheticSigns(root=tmp_path, drawing_seed=seed)


@pytest.mark.parametrize("foreign", ["a folder", "a file"])
def test_a_folder_of_something_else_is_refused_and_kept(foreign: str, tmp_path: Path) -> None:
    root = tmp_path / "signs"
    thesis = root / "thesis.tex" if foreign == "a folder" else root
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("mine")
    with pytest.raises(SourceError, match=r"signs: exists, but without .*choose another dataset.root"):
        _at(root).ensure()
    assert thesis.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["signs"]


@pytest.mark.usefixtures("quick")
def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert (_at(tmp_path).ensure() / DRAWN_STAMP).is_file()


@pytest.mark.usefixtures("quick")
def test_leftovers_of_a_killed_run_are_removed_before_drawing(tmp_path: Path) -> None:
    for state in ("partial", "replaced"):
        (tmp_path / f".signs-{state}" / "Final_Test").mkdir(parents=True)
        (tmp_path / f".signs-{state}" / "Final_Test" / "left.ppm").write_bytes(b"P6")
    root = _at(tmp_path / "signs").ensure()
    assert [path.name for path in tmp_path.iterdir()] == ["signs"]
    assert not list(root.rglob("left.ppm"))


@pytest.mark.usefixtures("quick")
def test_a_failed_run_leaves_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SourceError, match=r"cannot write the synthetic signs: .*No space left"):
        _at(tmp_path / "signs").ensure()
    assert not (tmp_path / "signs").exists()


def test_the_parameters_of_each_image_are_in_a_table(drawn: Path) -> None:
    with (drawn / PARAMETERS).open(newline="") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    annotated = _annotations(drawn)
    assert rows.keys() == {path.relative_to(drawn).as_posix() for path, _ in annotated}
    for path, annotation in annotated:
        row = rows[path.relative_to(drawn).as_posix()]
        sides = (annotation["Roi.X2"] - annotation["Roi.X1"] + 1, annotation["Roi.Y2"] - annotation["Roi.Y1"] + 1)
        assert int(row["class_id"]) == annotation["ClassId"]
        assert abs(max(sides) - float(row["sign_px"])) <= 0.6
        assert 0 <= float(row["occluded_share"]) < 1 and 0 < float(row["lit_share"]) <= 1


def test_no_two_images_are_alike(drawn: Path) -> None:
    images = [path.read_bytes() for path in drawn.rglob("*.ppm")]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tracks_per_class", 1),
        ("tracks_per_class", 100_001),
        ("test_images_per_class", 0),
        ("test_images_per_class", 2_001),
        ("drawing_seed", -1),
        ("blur_px", 3),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValidationError, match=name):
        SyntheticSigns.model_validate({name: value})
