"""A loaded network sees images as it was trained on them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_datasets import CARD
from upath import UPath

import roadsign
from pipelines.errors import SettingsError, SourceError
from pipelines.geometry import Roi
from pipelines.geometry.roi_resize import RoiResize
from training.classifiers.trained import Classifier, Shape
from training.models.baseline_cnn import BaselineCnn

PHOTO = np.random.default_rng(0).integers(0, 256, (53, 47, 3), np.uint8)


def written(folder: Path, geometry: str, channels: int = 3) -> str:
    shape = Shape(8, CARD.num_classes, (0.5,) * channels, (0.3,) * channels)
    card = CARD.model_copy(update={"channels": channels}).model_dump(mode="json")
    about = {"card": card, "settings": {"data": {"geometry": geometry}}}
    Classifier(shape.build(BaselineCnn(), 0), BaselineCnn(), shape, about).write(folder / "model.pt")
    return str(folder / "model.pt")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_a_pillow_image_and_an_array_give_the_same(tmp_path: Path, channels: int) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    network = roadsign.load(written(tmp_path, "crop_or_pad", channels))
    first, *others = (network.probabilities(one) for one in (tmp_path / "photo.png", Image.fromarray(PHOTO), PHOTO))
    assert all(np.array_equal(first, other) for other in others)
    assert network.predict(PHOTO) == (CARD.class_names[int(first.argmax())], float(first.max()))


def test_the_network_sees_the_training_geometry(tmp_path: Path) -> None:
    network = roadsign.load(written(tmp_path, "crop_or_pad"))
    shown = torch.from_numpy(PHOTO[22:30, 19:27]).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        expected = network.module(shown).softmax(1)[0].numpy()
    np.testing.assert_allclose(network.probabilities(PHOTO), expected, atol=1e-6)


@pytest.mark.parametrize("geometry", ["roi_resize", "jittered_roi_resize"])
def test_a_region_is_asked_for_where_the_training_images_were_cut_out(tmp_path: Path, geometry: str) -> None:
    network = roadsign.load(written(tmp_path, geometry))
    with pytest.raises(SettingsError, match=r"region=\(0, 0, 46, 52\) if the image is nothing but the sign"):
        network.predict(PHOTO)
    with pytest.raises(SettingsError, match=r"region=\(5, 5, 47, 9\): is not inside the image of 47 × 53 pixels"):
        network.predict(PHOTO, region=(5, 5, 47, 9))
    assert np.array_equal(network.prepare(PHOTO, (5, 6, 30, 40)), RoiResize()(PHOTO, Roi(5, 6, 30, 40), 8))


def test_the_geometry_of_a_network_from_outside_is_asked_for(tmp_path: Path) -> None:
    exported = torch.export.export(
        BaselineCnn().build(8, 43, (0.5,) * 3, (0.3,) * 3, 0).eval(), (torch.zeros(1, 3, 8, 8),)
    )
    torch.export.save(exported, tmp_path / "mine.pt2")
    network = roadsign.load(str(tmp_path / "mine.pt2"))
    with pytest.raises(SettingsError, match='geometry="resize"'):
        network.predict(PHOTO)
    named, _ = roadsign.load(str(tmp_path / "mine.pt2"), geometry="resize").predict(PHOTO)
    assert named in map(str, range(43))
    with pytest.raises(SettingsError, match="geometry=stretch: there are crop_or_pad, resize"):
        roadsign.load(str(tmp_path / "mine.pt2"), geometry="stretch")


@pytest.mark.parametrize("array", [PHOTO / 255, PHOTO[None], PHOTO[:, :, :2], PHOTO[:0]])
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(SourceError, match="an array"):
        roadsign.load(written(tmp_path, "resize")).predict(array)


def test_a_network_in_a_bucket_leaves_nothing_on_this_machine(
    root: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = torch.export.export(
        BaselineCnn().build(8, 43, (0.5,) * 3, (0.3,) * 3, 0).eval(), (torch.zeros(1, 3, 8, 8),)
    )
    torch.export.save(exported, tmp_path / "mine.pt2")
    ours = Path(written(tmp_path, "resize"))
    for file in (ours, tmp_path / "mine.pt2"):
        (root / file.name).write_bytes(file.read_bytes())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    there, here = roadsign.load(f"{root}/model.pt"), roadsign.load(str(ours))
    assert np.array_equal(there.probabilities(PHOTO), here.probabilities(PHOTO))
    assert roadsign.load(f"{root}/mine.pt2", geometry="resize").predict(PHOTO)
    assert not list(temporary.iterdir())
