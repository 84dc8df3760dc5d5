from pathlib import Path

import numpy as np
import pytest
import torch
import untrained_gans
from numpy.typing import NDArray
from pydantic import ValidationError
from small_datasets import Small
from torch import nn

from pipelines.errors import SettingsError, StreamError
from pipelines.store.image_batches import SourceImages
from training.executors.generated_datasets import GeneratedDatasets, SourceData, prepare_generated
from training.executors.generator_step import GeneratorStep, ShippedChoice, ShippedGan
from training.gans.trained import TrainedGan
from training.streams.stream import Data, open_stream
from training.tracking import FoundModel


def source(count: int) -> SourceImages:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    ids = [f"train/{row:05d}" for row in range(count)]
    return SourceImages(ids, np.arange(count, dtype=np.int32) % 43, ids, pixels)


def shipped(folder: Path, gan: TrainedGan, seed: int = 0) -> ShippedGan:
    gan.write(folder / "gan.pt")
    return ShippedGan("gan.pt", "gan-mine", seed, 16, lambda *_: np.zeros(0, np.uint8))


def test_the_images_are_the_generators_for_the_labels(tmp_path: Path) -> None:
    gan, images = untrained_gans.gan(), source(16)
    (made,) = shipped(tmp_path, gan)(tmp_path, torch.get_num_threads(), None)(images)
    assert made.variant == "gan-mine"
    assert made.pixels.shape == (16, 8, 8, 3)
    assert made.pixels.dtype == np.uint8
    draws = {seed: shipped(tmp_path, gan, seed)(tmp_path, torch.get_num_threads(), None) for seed in (0, 1)}
    np.testing.assert_array_equal(draws[0](images)[0].pixels, made.pixels)
    assert not np.array_equal(draws[1](images)[0].pixels, made.pixels)


def test_a_batch_depends_only_on_its_first_images_id(tmp_path: Path) -> None:
    step = shipped(tmp_path, untrained_gans.gan())(tmp_path, torch.get_num_threads(), None)
    images = source(40)
    (whole,) = step(images)
    rest = SourceImages(*(values[16:] for values in images))
    np.testing.assert_array_equal(step(rest)[0].pixels, whole.pixels[16:])
    assert len({image.tobytes() for image in whole.pixels}) == 40


class SureOfRed(nn.Module):
    """Gives class 0, the label of all images here, more the redder an image is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = images[:, 0].mean((1, 2)) - images[:, 1:].mean((1, 2, 3))
        return torch.stack([40 * red, torch.zeros_like(red)], 1)


def test_an_image_is_drawn_again_until_the_classifier_is_confident_of_its_label() -> None:
    images = source(40)._replace(labels=np.zeros(40, np.int32))
    gan, network = untrained_gans.gan(), SureOfRed()

    def step(tries: int, confidence: float) -> GeneratorStep:
        choice = ShippedChoice("classifier.pt", confidence, tries)
        return GeneratorStep(
            gan, ShippedGan("gan.pt", "gan-mine", 0, 16, lambda *_: np.zeros(0, np.uint8), choice), network
        )

    def sure(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        return network(values).softmax(1)[:, 0].numpy()

    (first,) = GeneratorStep(gan, step(1, 0.5).shipped, None)(images)
    assert first.chosen is None
    confidence = float(np.quantile(sure(first.pixels), 0.7))
    kept = sure(first.pixels) >= confidence
    surest = sure(first.pixels)
    for tries in (1, 2, 4):
        (made,) = step(tries, confidence)(images)
        assert made.chosen is not None
        draws, confident = made.chosen
        np.testing.assert_array_equal(confident, sure(made.pixels) >= confidence)
        np.testing.assert_array_equal(made.pixels[kept], first.pixels[kept])
        assert (draws[kept] == 1).all()
        assert (draws[~confident] == tries).all()
        assert (sure(made.pixels) >= surest).all()
        surest = sure(made.pixels)
    assert kept.sum() < confident.sum() < 40
    assert set(draws) == {1, 2, 3, 4}


def test_a_variant_of_training_images_alone_is_mixed_with_one_of_all_splits(tmp_path: Path) -> None:
    Small({"train": [[6, 4], [5]], "validation": [[4]], "test": [[3]]}, size_px=8).write(tmp_path)
    Small({"train": [[6, 4], [5]]}, ("gan-mine",), size_px=8).write(tmp_path)
    mixture = {"clean": 0.5, "gan-mine": 0.5}
    data = Data(root=str(tmp_path), size_px=8, mixture=mixture, validation_mixture={"clean": 1.0}, verify=True)
    for cache in ("none", "host"):
        (batch,) = open_stream(data, "train", seed=0, batch_size=15, cache=cache).epoch(0)
        assert sorted(batch.image_ids) == [f"train/{number:05d}" for number in range(15)]
    (batch,) = open_stream(data.of_split("validation"), "validation", seed=0, batch_size=4).epoch(0)
    assert len(batch.image_ids) == 4
    assert data.of_split("train") is data
    with pytest.raises(StreamError, match="split validation has no images"):
        open_stream(data, "validation", seed=0, batch_size=4)
    with pytest.raises(ValidationError, match="weights must sum to 1"):
        Data(root="", validation_mixture={"clean": 0.5})


def test_images_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    gan = untrained_gans.gan()
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.fill_(3e38)  # finite, as a file of weights must be, but ∞ − ∞ is not
            parameter[::2].neg_()
    with pytest.raises(SettingsError, match="the generator makes images that are not finite"):
        shipped(tmp_path, gan)(tmp_path, torch.get_num_threads(), None)(source(4))


@pytest.mark.parametrize("name", [None, "snr33"])
def test_the_manifest_says_that_it_is_generated_and_what_tables_show(tmp_path: Path, name: str | None) -> None:
    root = Small({"train": [[6]]}, size_px=8).write(tmp_path)
    gan, found = untrained_gans.gan(), FoundModel("gan.pt", "gan", None, tmp_path / "gan.pt")
    plan = prepare_generated(GeneratedDatasets(model="gan.pt", name=name, data=SourceData(root=root)), found, gan)
    level = name or gan.architecture.kind
    facts = [plan.fingerprint[key] for key in ("generated", "shown_noise", "shown_level")]
    assert facts == [gan.digest, "gan", level]
    assert plan.cell.variant == f"gan-{level}"
