"""Typing errors and damaged sources give an error of this project, never a traceback or a wrong result."""

import zipfile
from pathlib import Path

import fake_gtsrb
import numpy as np
import pytest

from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import SettingsError, SourceError
from pipelines.noise.blur import Blur
from pipelines.noise.periodic import Periodic
from pipelines.render import noisy_datasets as variants
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import Cell

CONFIG = Path(__file__).parents[3] / "conf" / "make_noisy_datasets.yaml"
IMAGES = fake_gtsrb.make_images()


@pytest.mark.parametrize(
    "overrides",
    [
        ["noise=5"],
        ["noise=true"],
        ["noise.gaussian.levels.max=5"],
        ["noise.gaussian.levels.max=abc"],
        ["noise.gaussian.levels.max=[1]"],
        ["sizes_px.0=30"],
        ["dataset.kind=[gtsrb]"],
        ["geometry={kind: [resize]}"],
        ["seed=${nope}"],
        ["seed=???"],
        ["variants=[]"],
        ["noise.gaussian.levels.a/b.std_grey=5.0"],
        ["noise.salt_pepper.levels.max.amount=101.0"],
    ],
    ids=str,
)
def test_a_wrong_override_is_a_settings_error(overrides: list[str]) -> None:
    with pytest.raises(SettingsError):
        load(NoisyDatasets, CONFIG, overrides)


@pytest.mark.parametrize("content", ["seed: ???", "seed: ${nope}", "1: 2", "seed: !!binary aGk="])
def test_a_wrong_file_is_a_settings_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(SettingsError):
        load(NoisyDatasets, tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("menus", "first", "count"), [("[paper,proposal]", "gaussian-min", 24), ("proposal", "random-min", 15)]
)
@pytest.mark.parametrize("menu_first", [True, False])
def test_a_key_inside_a_menu_is_laid_over_it(menus: str, first: str, count: int, menu_first: bool) -> None:
    overrides = [f"noise={menus}", "noise.blur.levels.max.std_px=3.0"]
    noises = load(NoisyDatasets, CONFIG, overrides if menu_first else overrides[::-1]).noise
    assert (next(iter(noises)), len(noises)) == (first, count)
    assert noises["blur-max"] == Blur(std_px=3.0)


def test_another_format_version_is_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, cell = (
        load(NoisyDatasets, CONFIG, ["dataset.kind=gtsrb", "dataset.root=x"]),
        Cell("crop_or_pad", 28, "clean"),
    )
    before = settings.fingerprint(cell, "digest", GTSRB_CARD)
    monkeypatch.setattr(variants, "FORMAT_VERSION", variants.FORMAT_VERSION + 1)
    assert settings.fingerprint(cell, "digest", GTSRB_CARD) != before


def test_periodic_of_any_amplitude_clips() -> None:
    image = np.full((1, 1, 3), 128, np.uint8)
    assert Periodic(amplitude=1000.0, pattern="vertical").apply(image, True).max() == 255


def test_a_damaged_csv_in_a_zip_is_a_source_error(tmp_path: Path) -> None:
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    path = tmp_path / fake_gtsrb.ARCHIVES[2]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("GT-final_test.csv", b"Filename;Width\r\n" * 20)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError):
        Gtsrb(root=tmp_path, allow_missing_classes=True).listing()


@pytest.mark.parametrize("broken", ["quote", "carriage return"])
def test_a_csv_that_csv_cannot_read_is_a_source_error(tmp_path: Path, broken: str) -> None:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    path = tmp_path / "Final_Test/Images/GT-final_test.csv"
    text = path.read_bytes().decode()
    quoted = text.replace("00001.ppm", '"00001.ppm') + "x" * 140_000
    path.write_bytes((quoted if broken == "quote" else text.replace("\r\n", "\r")).encode())
    with pytest.raises(SourceError):
        Gtsrb(root=tmp_path, allow_missing_classes=True).listing()


def test_numbers_that_do_not_fit_are_rejected(tmp_path: Path) -> None:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    path = tmp_path / "Final_Test/Images/GT-final_test.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(";")
    cells[1] = "99999999999"
    path.write_text("\n".join([lines[0], ";".join(cells), *lines[2:]]) + "\n")
    listing = Gtsrb(root=tmp_path, allow_missing_classes=True).listing()
    assert [rejected.reason for rejected in listing.rejected] == [f"99999999999 × {cells[2]} exceeds 4096 px per side"]


def test_kaggle_folder_that_contradicts_the_label_is_rejected(tmp_path: Path) -> None:
    fake_gtsrb.write_kaggle(tmp_path, IMAGES)
    (tmp_path / "Train/5").mkdir()
    (tmp_path / "Train/14/00014_00000_00000.png").rename(tmp_path / "Train/5/00014_00000_00000.png")
    csv = tmp_path / "Train.csv"
    csv.write_text(csv.read_text().replace("Train/14/00014_00000_00000", "Train/5/00014_00000_00000"))
    assert len(Gtsrb(root=tmp_path, allow_missing_classes=True).listing().rejected) == 1


def test_a_good_second_line_after_a_bad_first_one_is_used(tmp_path: Path) -> None:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    path = tmp_path / "Final_Test/Images/GT-final_test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].rpartition(";")[0] + ";99", *lines[1:]]) + "\n")
    listing = Gtsrb(root=tmp_path, allow_missing_classes=True).listing()
    assert [rejected.reason for rejected in listing.rejected] == ["label 99 is outside 0–42"]
    assert len(listing.images) == len(IMAGES)


def test_two_files_of_one_name_are_one_image(tmp_path: Path) -> None:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    folder = tmp_path / "Final_Training/Images/00014"
    (folder / "00000_00000.png").write_bytes(fake_gtsrb.encode(IMAGES[0].pixels, "PNG"))
    csv = folder / "GT-00014.csv"
    first = csv.read_text().splitlines()[1]
    csv.write_text(csv.read_text() + first.replace(".ppm", ".png") + "\n")
    listing = Gtsrb(root=tmp_path, allow_missing_classes=True).listing()
    assert [rejected.reason for rejected in listing.rejected] == [
        "a second file for train/00014/00000_00000; the first is used"
    ]
