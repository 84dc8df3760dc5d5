from pathlib import Path

import torch
from small_gans import gan_recipe, gan_training
from small_runs import write_dataset

from training.gans import GanArchitecture
from training.gans.dcgan import Dcgan
from training.gans.latents.image_to_image import ImageToImage
from training.gans.samples import FixedSamples, fixed_samples


def fixed(root: Path, gan: GanArchitecture) -> FixedSamples:
    opened = gan_training(gan_recipe(write_dataset(root), gan))
    return fixed_samples(gan, opened.shape, opened.train, 0)


def test_a_conditional_gan_has_a_row_for_each_class(tmp_path: Path) -> None:
    found = fixed(tmp_path, Dcgan(channels=4, conditional=True))
    assert torch.equal(found.labels.view(43, 8), torch.arange(43)[:, None].expand(43, 8))
    assert found.images is None
    assert len(found.row_names) == 43
    assert found.row_names[14] == "class 14"
    assert fixed(tmp_path, Dcgan(channels=4)).row_names == ()
    assert len(fixed(tmp_path, Dcgan(channels=4)).labels) == 64


def test_images_to_begin_with_are_real_ones_of_the_rows_class(tmp_path: Path) -> None:
    """The training set has two or three images of each class, so the last one is repeated."""
    gan = Dcgan(channels=4, conditional=True, latent=ImageToImage())
    found = fixed(tmp_path, gan)
    assert found.images is not None
    assert found.row_names[28:30] == ("", "class 14")
    batches = list(gan_training(gan_recipe(tmp_path, gan)).train.epoch(0))
    images = torch.cat([batch.images[batch.valid] for batch in batches])
    labels = torch.cat([batch.labels[batch.valid] for batch in batches])
    for row in (0, 17, 42):
        real = images[labels == row] / 255
        shown = found.images[8 * row : 8 * row + 8]
        assert torch.equal(shown[: len(real)], real)
        assert all(torch.equal(image, real[-1]) for image in shown[len(real) :])


def test_a_picture_has_each_row_of_inputs_above_what_was_made_of_it() -> None:
    inputs, made = torch.zeros(4, 3, 2, 2), torch.ones(4, 3, 2, 2)
    shown = FixedSamples(torch.zeros(4), inputs, 0, columns=2).beside_inputs(made)
    assert shown[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
