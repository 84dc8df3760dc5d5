"""The attack by a trained generator on executors, which read its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_attacks import SIZE_PX, classifier

from pipelines.store.image_batches import SourceImages
from training.attacks import AttackError
from training.attacks.fgsm import Fgsm
from training.executors.attack_step import AttackStep
from training.executors.generators import file_name, with_generator
from training.gans.adversarial import Adversarial
from training.gans.trained import GanShape, TrainedGan
from training.gans.vanilla import Vanilla

CPU = torch.device("cpu")
SHAPE = GanShape(SIZE_PX, 43, tuple(range(43)))


def written(gan: Adversarial | Vanilla, folder: Path) -> TrainedGan:
    trained = TrainedGan(SHAPE.build(gan, seed=3).generator.eval(), gan, SHAPE)
    trained.write(folder / file_name(trained.digest))
    return trained


def opened(generator: TrainedGan, folder: Path) -> AttackStep:
    classifier().write(folder / "model.pt")
    attack = {"kind": "gan", "generator": generator.digest}
    return AttackStep.opened(folder / "model.pt", attack, {"a": {"snr_db": 20.0}}, 0, 4, torch.get_num_threads(), None)


def test_a_row_group_is_what_the_generator_adds_brought_to_the_ratio(tmp_path: Path) -> None:
    generator = written(Adversarial(snr_db=30), tmp_path)
    pixels = np.random.default_rng(0).integers(60, 200, (6, SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
    ids = [f"test/{row:05d}" for row in range(6)]
    (made,) = opened(generator, tmp_path)(SourceImages(ids, np.arange(6, dtype=np.int32), ids, pixels))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    added = generator.sample(torch.arange(6), torch.Generator(), images) - images
    for image, result, own in zip(images, made.pixels, added, strict=True):
        expected = (image + own / own.norm() * image.norm() / 10).clamp(0, 1)
        np.testing.assert_allclose(result, expected.permute(1, 2, 0), atol=1e-5, rtol=0)


def test_a_worker_reads_the_generator_once(tmp_path: Path) -> None:
    generator = written(Adversarial(snr_db=30), tmp_path)
    opened(generator, tmp_path)
    (tmp_path / file_name(generator.digest)).unlink()
    opened(generator, tmp_path)


def test_a_generator_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttackError, match="is a vanilla GAN; train one with gan=adversarial"):
        opened(written(Vanilla(), tmp_path), tmp_path)


def test_attacks_without_a_generator_need_no_file(tmp_path: Path) -> None:
    assert with_generator(Fgsm(), tmp_path, CPU) == Fgsm()
