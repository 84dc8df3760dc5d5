from pathlib import Path

import numpy as np
import pytest
import torch
import untrained_gans
from small_datasets import Small

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.generating import RealSplits, generate, uniform_noise
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.streams.stream import Data

CPU = torch.device("cpu")


def conditions(count: int = 30) -> ImagesInMemory:
    draw = torch.Generator().manual_seed(9)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return ImagesInMemory(pixels, torch.arange(count) % 43, 43, "0")


def test_images_are_generated_for_the_given_labels_and_are_reproducible() -> None:
    gan = untrained_gans.gan()
    made = generate(gan, "gan", conditions(), 50, 3, 16, CPU)
    assert made.pixels.shape == (50, 3, 8, 8)
    assert made.pixels.dtype == torch.uint8
    assert made.digest == gan.digest
    assert sorted(made.labels[:30].tolist()) == list(range(30))
    torch.testing.assert_close(generate(gan, "gan", conditions(), 50, 3, 16, CPU).pixels, made.pixels)
    assert not torch.equal(generate(gan, "gan", conditions(), 50, 4, 16, CPU).pixels, made.pixels)


def test_an_image_to_image_generator_gets_the_images_of_the_conditions() -> None:
    given = conditions()
    made = generate(untrained_gans.echo(), "echo", given, 30, 0, 7, CPU)
    order = torch.argsort(made.labels)
    torch.testing.assert_close(made.pixels[order], given.pixels)


def test_values_are_rounded_to_grey_levels_and_not_truncated() -> None:
    made = generate(untrained_gans.echo(offset=2 * 0.6 / 255), "echo", conditions(), 30, 0, 7, CPU)
    expected = conditions().pixels.int().add(1).clamp(max=255)
    torch.testing.assert_close(made.pixels[torch.argsort(made.labels)].int(), expected)


def test_images_that_are_not_finite_and_classes_that_were_not_seen_are_refused() -> None:
    with pytest.raises(EvaluationError, match="echo: makes images that are not finite"):
        generate(untrained_gans.echo(offset=float("nan")), "echo", conditions(), 5, 0, 5, CPU)
    with pytest.raises(EvaluationError, match="few: classes"):
        generate(untrained_gans.gan(classes=(1, 2)), "few", conditions(), 30, 0, 30, CPU)


def test_splits_are_restricted_to_the_classes_of_the_generator(tmp_path: Path) -> None:
    root = Small({"train": [[60]], "validation": [[20]], "test": [[50]]}, size_px=8).write(tmp_path)
    splits = RealSplits.read(Data(root=str(root), size_px=8), "test", "validation")
    assert [len(images.labels) for images in (splits.train, splits.test, splits.conditions)] == [60, 50, 20]
    assert (splits.num_classes, splits.of_classes(tuple(range(43))).class_list) == (43, "")
    some = splits.of_classes((3, 5))
    assert some.class_list == " of 3, 5"
    assert some.train.labels.tolist() == [3, 5, 3, 5]
    assert some.num_classes == 43
    with pytest.raises(EvaluationError, match=r"the conditions images have none of the generator's classes \[30\]"):
        splits.of_classes((30,))


def test_noise_has_the_labels_and_the_shape_of_what_it_is_beside() -> None:
    noise = uniform_noise(conditions(), 0)
    assert noise.labels.tolist() == conditions().labels.tolist()
    assert noise.pixels.float().mean() == pytest.approx(127.5, abs=5 * 74 / np.sqrt(30 * 3 * 64))
    torch.testing.assert_close(uniform_noise(conditions(), 0).pixels, noise.pixels)
