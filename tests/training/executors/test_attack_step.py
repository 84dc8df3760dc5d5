from pathlib import Path

import numpy as np
import pytest
import torch
from attacked_networks import CLASSES, SIZE_PX, discs, small_cnn
from torch import nn

from pipelines.store.image_batches import SourceImages
from training.attacks import AttackError, Eps, LabelledImages, SnrDb
from training.attacks.fgsm import Fgsm
from training.attacks.pgd import Pgd
from training.classifiers.trained import Classifier, Shape
from training.executors.attack_step import AttackStep
from training.executors.errors import ExecutorError
from training.executors.shipped import ShippedAttack
from training.models.baseline_cnn import BaselineCnn

CPU = torch.device("cpu")
SNRS = {"fgsm-snr40": SnrDb(40.0), "fgsm-snr20": SnrDb(20.0)}


def source(count: int = 20) -> SourceImages:
    images, labels = discs(count, seed=5)
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy().copy()
    ids = [f"test/{row:05d}" for row in range(count)]
    return SourceImages(ids, labels.numpy().astype(np.int32), ids, pixels)


def unit_floats(images: SourceImages) -> torch.Tensor:
    return torch.from_numpy(images.pixels).permute(0, 3, 1, 2).float() / 255


def test_a_row_group_is_the_attack_on_its_batches() -> None:
    """Batches of 8, 8 and 4: every value equals that of the attack on the batch."""
    images = source()
    made = AttackStep(small_cnn(), Fgsm(), SNRS, 3, 8, CPU)(images)
    assert [one.variant for one in made] == list(SNRS)
    for start in (0, 8, 16):
        rows = slice(start, start + 8)
        labels = torch.from_numpy(images.labels[rows]).long()
        examples = LabelledImages(unit_floats(images)[rows], labels, images.image_ids[rows], 3)
        for one, expected in zip(made, Fgsm()(small_cnn(), examples, list(SNRS.values())), strict=True):
            np.testing.assert_array_equal(one.pixels[rows], expected.images.permute(0, 2, 3, 1).numpy())
            np.testing.assert_array_equal(one.snr_db[rows], expected.snr_db.float().numpy())
            np.testing.assert_array_equal(one.snr_db_asked[rows], expected.snr_db_asked.float().numpy())


@pytest.mark.parametrize("attack", [Fgsm(), Pgd(steps=2), Pgd(steps=2, random_start=False)])
def test_predictions_are_the_networks(attack: Fgsm | Pgd) -> None:
    """Even if they are taken from the attack's own forward pass."""
    images = source()
    (made,) = AttackStep(small_cnn(), attack, {"weak": Eps(0.05)}, 0, 8, CPU)(images)
    np.testing.assert_array_equal(made.prediction_before, small_cnn()(unit_floats(images)).argmax(1).numpy())
    after = small_cnn()(torch.from_numpy(made.pixels).permute(0, 3, 1, 2)).argmax(1)
    np.testing.assert_array_equal(made.prediction_after, after.numpy())


def test_all_ratios_share_one_pass_and_the_prediction_before_costs_none() -> None:
    passes = []
    hook = small_cnn().register_forward_hook(lambda *_: passes.append(torch.is_inference_mode_enabled()))
    AttackStep(small_cnn(), Fgsm(), SNRS, 0, 20, CPU)(source())
    hook.remove()
    assert passes == [False, True, True]


def test_the_network_is_left_without_hooks() -> None:
    AttackStep(small_cnn(), Fgsm(), SNRS, 0, 8, CPU)(source())
    assert not small_cnn()._forward_hooks


class Kink(nn.Module):
    """Finite logits whose gradient is NaN for a black image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).sum(1, keepdim=True).sqrt() * torch.arange(CLASSES)


def test_images_with_a_gradient_of_nan_are_named() -> None:
    images = source()
    images.pixels[11] = 0
    with pytest.raises(AttackError, match=r"gradient is not finite for test/00011"):
        AttackStep(Kink().eval(), Fgsm(), SNRS, 0, 8, CPU)(images)


def shipped(folder: Path) -> ShippedAttack:
    shape = Shape(SIZE_PX, CLASSES, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    Classifier(shape.build(BaselineCnn(), 0), BaselineCnn(), shape).write(folder / "model.pt")
    return ShippedAttack("model.pt", {"kind": "fgsm"}, {"a": {"snr_db": 33.0}, "b": {"eps": 0.1}}, 0, 8)


def test_a_worker_reads_the_network_once_and_takes_the_threads_of_its_task(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        first = shipped(tmp_path)(tmp_path, 1, None)
        (tmp_path / "model.pt").unlink()
        second = shipped_again(first, tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert second.network is first.network
    assert first.strengths == {"a": SnrDb(33.0), "b": Eps(0.1)}
    assert not any(parameter.requires_grad for parameter in first.network.parameters())


def shipped_again(first: AttackStep, folder: Path) -> AttackStep:
    return ShippedAttack("model.pt", {"kind": "fgsm"}, {"a": None}, first.seed, 8)(folder, 1, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_gpu_of_sparks_that_pytorch_does_not_find_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="Spark gives this task GPU 1, but PyTorch finds none"):
        shipped(tmp_path)(tmp_path, torch.get_num_threads(), "1")
