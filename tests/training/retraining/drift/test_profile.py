"""Profiles against hooks, numpy on the stored bytes and plain sets, and drift of datasets that are known to differ."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fake_gtsrb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_datasets
import torch
import untrained_gans
from torch import nn

from pipelines.datasets import DATASETS
from pipelines.errors import StreamError
from pipelines.store.schema import Split
from training.classifiers.trained import Classifier
from training.retraining.drift.measures import Drift, Images, Report
from training.retraining.drift.profile import SCHEMA, Profile, compare, new_images
from training.retraining.drift.training_images import ProfileError, Sign, signs_of
from training.streams.stream import Data

CPU = torch.device("cpu")
SIZE_PX = 8
QUICK = Drift(images=60, resamples=99, significance=0.05)
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Signs(small_datasets.Small):
    """The first `unchanged` images are as they always are, the others of `classes` classes and as `changed` says."""

    size_px: int = SIZE_PX
    unchanged: int = 0
    changed: Callable[[Pixels], Pixels] = field(default=lambda pixels: pixels)
    classes: int = 43

    def image(self, variant: str, image_id: str) -> Pixels:
        pixels = super().image(variant, image_id)
        return pixels if int(image_id[-5:]) < self.unchanged else self.changed(pixels)

    def _rows(self, variant: str, split: Split, first: int, rows: int) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(super()._rows(variant, split, first, rows), first):
            yield row if number < self.unchanged else {**row, "label": number % self.classes}


def darker(pixels: Pixels) -> Pixels:
    return pixels // 3


def data_of(folder: Path, count: int, **changes: Any) -> Data:
    halves = [count // 2, count - count // 2]
    Signs({"train": [halves], "test": [[5]]}, **changes).write(folder)
    return Data(root=str(folder), size_px=changes.get("size_px", SIZE_PX))


def seen(count: int = 300, frames: int = 1, size_px: int = 30) -> dict[str, Sign]:
    """Tracks of so many frames, of sizes that differ by up to 9 px."""
    return {
        f"train/{number:05d}": Sign(f"track {number // frames}", size_px + number * 7 % 10) for number in range(count)
    }


@pytest.fixture(scope="module")
def champion() -> Classifier:
    return untrained_gans.classifier(SIZE_PX)


@pytest.fixture(scope="module")
def profile(champion: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Of 90 images of 90 tracks."""
    return Profile.of(champion, data_of(tmp_path_factory.mktemp("old"), 90), seen(), CPU)


def stored(data: Data) -> dict[str, Pixels]:
    """The training images of a dataset, straight from its files."""
    files = sorted(Path(data.root).rglob("variant=clean/split=train/*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return {row["image_id"]: np.frombuffer(row["image"], np.uint8).reshape(SIZE_PX, SIZE_PX, 3) for row in rows}


def all_new(profile: Profile, champion: Classifier, data: Data) -> Images | None:
    return new_images(profile, champion, data, seen(), CPU, at_most=1000, seed=0)


def tracks_of(images: Images | None) -> set[str]:
    assert images is not None
    assert len(set(images.tracks.tolist())) == len(images.tracks)
    return set(images.tracks.tolist())


def drifted(report: Report | None) -> set[str]:
    assert report is not None
    return {finding.what for finding in report.findings if finding.drifted}


def test_every_training_image_has_a_row_and_one_of_each_track_is_described(
    champion: Classifier, tmp_path: Path
) -> None:
    data, signs = data_of(tmp_path, 45), seen(frames=3)
    profile = Profile.of(champion, data, signs, CPU, sampled=10)
    table, pixels = profile.table, stored(data)
    assert table.schema == SCHEMA
    assert table["image_id"].to_pylist() == sorted(pixels)
    assert table["label"].to_pylist() == [number % 43 for number in range(45)]
    assert [Sign(row["track"], row["size_px"]) for row in table.to_pylist()] == list(signs.values())[:45]
    sample = [row for row in table.to_pylist() if row["features"] is not None]
    assert [row["channels"] is None for row in table.to_pylist()] == [row not in sample for row in table.to_pylist()]
    assert len({row["track"] for row in sample}) == len(sample) == 10
    chosen = np.stack([pixels[row["image_id"]] for row in sample])
    found = profile.trained_on
    assert found.tracks.tolist() == [row["track"] for row in sample]
    np.testing.assert_allclose(found.channels[:, :3], chosen.mean(axis=(1, 2)) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.channels[:, 3:], chosen.std(axis=(1, 2)) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.features, hooked(champion, chosen), rtol=1e-5, atol=1e-6)


def hooked(classifier: Classifier, pixels: Pixels) -> Pixels:
    """What the last linear layer is given, by a plain hook."""
    given: list[torch.Tensor] = []
    last = [layer for layer in classifier.network.modules() if isinstance(layer, nn.Linear)][-1]
    handle = last.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    with torch.no_grad():
        classifier.network(torch.tensor(pixels.transpose(0, 3, 1, 2) / 255, dtype=torch.float32))
    handle.remove()
    return given[0].numpy()


def test_the_sample_follows_from_its_seed_alone(champion: Classifier, tmp_path: Path) -> None:
    data = data_of(tmp_path, 45)
    first, again, other = (Profile.of(champion, data, seen(), CPU, seed, sampled=10) for seed in (1, 1, 2))
    assert first == again
    assert set(first.trained_on.tracks) != set(other.trained_on.tracks)


def test_a_profile_is_the_same_when_it_is_read_again(profile: Profile, tmp_path: Path) -> None:
    profile.write(tmp_path / "size_px=8" / "profile.parquet")
    assert Profile.read(tmp_path / "size_px=8" / "profile.parquet") == profile


def test_images_with_ids_that_the_champion_was_not_trained_on_are_new(
    profile: Profile, champion: Classifier, tmp_path: Path
) -> None:
    data = data_of(tmp_path, 130)
    new_ids = stored(data).keys() - set(profile.table["image_id"].to_pylist())
    assert tracks_of(all_new(profile, champion, data)) == {seen()[image_id].track for image_id in new_ids}
    some = new_images(profile, champion, data, seen(frames=4), CPU, at_most=7, seed=0)
    assert len(tracks_of(some)) == 7


def test_images_that_replaced_others_are_new(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    data = data_of(tmp_path, 90, unchanged=70, changed=darker)
    assert tracks_of(all_new(profile, champion, data)) == {f"track {number}" for number in range(70, 90)}
    relabelled = data_of(tmp_path / "relabelled", 90, unchanged=75, classes=10)
    assert tracks_of(all_new(profile, champion, relabelled)) == {f"track {number}" for number in range(75, 90)}


def test_known_images_are_not_compared(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    same, fewer = data_of(tmp_path / "same", 90), data_of(tmp_path / "fewer", 50)
    assert compare(QUICK, profile, champion, same, {}, CPU) is None
    trained_on_noise = same.model_copy(update={"mixture": {"gaussian-max": 1.0}})
    assert compare(QUICK, profile, champion, trained_on_noise, {}, CPU) is None
    assert compare(QUICK, profile, champion, fewer, seen(), CPU) is None


def test_one_additional_sign_is_too_few_to_compare(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    signs = {**seen(90), **dict.fromkeys(list(seen())[90:], Sign("one more", 30))}
    data = data_of(tmp_path, 100)
    assert len(tracks_of(new_images(profile, champion, data, signs, CPU, at_most=60, seed=0))) == 1
    assert compare(QUICK, profile, champion, data, signs, CPU) is None


def test_more_images_of_the_same_kind_are_no_drift(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    report = compare(QUICK, profile, champion, data_of(tmp_path, 180), seen(), CPU)
    assert drifted(report) == set()
    assert report is not None
    assert (report.old, report.new) == (60, 60)


def test_darker_images_drift_in_channels_and_features(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    data = data_of(tmp_path, 180, unchanged=90, changed=darker)
    assert drifted(compare(QUICK, profile, champion, data, seen(), CPU)) == {"channels", "embedding"}


def test_other_classes_drift(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    data = data_of(tmp_path, 180, unchanged=90, classes=10)
    assert drifted(compare(QUICK, profile, champion, data, seen(), CPU)) == {"classes"}


def test_images_of_larger_photographs_drift(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    signs = {**seen(180, size_px=36), **seen(90)}
    assert drifted(compare(QUICK, profile, champion, data_of(tmp_path, 180), signs, CPU)) == {"sizes"}


def test_signs_are_those_that_the_source_names(tmp_path: Path) -> None:
    images = fake_gtsrb.make_images()
    fake_gtsrb.write_official(tmp_path, images)
    signs = signs_of(DATASETS["gtsrb"](root=tmp_path, allow_missing_classes=True).listing().images)
    assert {image_id: sign.size_px for image_id, sign in signs.items()} == {
        image.image_id: max(image.pixels.shape) for image in images
    }
    assert signs["train/00014/00001_00002"].track == signs["train/00014/00001_00000"].track == "00014/00001"
    assert signs["test/00003"].track == "test/00003"


@pytest.mark.parametrize("what", ["missing", "cut", "changed", "other columns", "no words", "later", "ragged", "empty"])
def test_a_file_that_is_not_a_profile_is_refused(profile: Profile, tmp_path: Path, what: str) -> None:
    path = tmp_path / "profile.parquet"
    profile.write(path)
    table = pq.ParquetFile(path).read()
    (about,) = table.schema.metadata.values()
    key = next(iter(table.schema.metadata))
    ragged = pa.array([[1.0] * (1 + number % 2) for number in range(len(table))], pa.list_(pa.float32()))
    wrong = {
        "other columns": table.drop_columns("digest"),
        "no words": table.replace_schema_metadata(),
        "later": table.replace_schema_metadata({key: json.dumps({**json.loads(about), "version": 2})}),
        "ragged": table.set_column(6, SCHEMA.field("features"), ragged),
        "empty": table.slice(0, 0),
    }
    if what in wrong:
        pq.write_table(wrong[what], path)
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif what == "changed":
        data = path.read_bytes()
        path.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    else:
        path.unlink()
    with pytest.raises(ProfileError, match=r"profile.parquet: not a profile of this version \(.+\); download it again"):
        Profile.read(path)


def test_profiles_that_do_not_match_are_refused(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    data = data_of(tmp_path, 95)
    other = untrained_gans.classifier(SIZE_PX, seed=1)
    with pytest.raises(ProfileError, match=f"is of the model {champion.digest[:12]}, not of {other.digest[:12]}"):
        all_new(profile, other, data)
    with pytest.raises(ProfileError, match=r"for images of 8 px, not of 40 px; set data.size_px=8"):
        all_new(profile, champion, Data(root=data.root))
    with pytest.raises(ProfileError, match="geometry=resize: the champion was trained on crop_or_pad images"):
        all_new(profile, champion, data.model_copy(update={"geometry": "resize"}))
    with pytest.raises(ProfileError, match=r"was made from another source, which has train/00093; set dataset.root"):
        new_images(profile, champion, data, seen(93), CPU, at_most=9, seed=0)
    trained_earlier = replace(champion, about={"datasets": {"clean": "0" * 64}})
    with pytest.raises(ProfileError, match="is no longer the dataset that this model was trained on"):
        Profile.of(trained_earlier, data, seen(), CPU)


def test_a_dataset_without_training_images_is_refused(profile: Profile, champion: Classifier, tmp_path: Path) -> None:
    Signs({"test": [[5]]}).write(tmp_path)
    with pytest.raises(StreamError, match="split train has no images; splits with images: test"):
        all_new(profile, champion, Data(root=str(tmp_path), size_px=SIZE_PX))
