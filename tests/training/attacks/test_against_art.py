"""Comparisons with adversarial-robustness-toolbox on the same network and images."""

import copy
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from attacked_networks import CLASSES, SIZE_PX, accuracy, disc_examples, small_cnn
from torch import nn

from training.attacks import Eps, LabelledImages
from training.attacks.apgd import Apgd
from training.attacks.balls import Norm, norms
from training.attacks.deepfool import Deepfool
from training.attacks.fgsm import Fgsm
from training.attacks.one_pixel import OnePixel
from training.attacks.pgd import Pgd
from training.attacks.square import Square
from training.attacks.universal import Universal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evasion() -> ModuleType:
    """Imported only when needed, since the import takes as long as all other tests in this folder."""
    import art.attacks.evasion

    return art.attacks.evasion


@pytest.fixture(scope="module")
def classifier(evasion: ModuleType) -> Any:
    return toolbox(copy.deepcopy(small_cnn()))


def toolbox(network: nn.Module) -> Any:
    from art.estimators.classification import PyTorchClassifier

    shape = (3, SIZE_PX, SIZE_PX)
    return PyTorchClassifier(network, nn.CrossEntropyLoss(), shape, CLASSES, clip_values=(0, 1), device_type="cpu")


def generate(attack: Any, examples: LabelledImages) -> torch.Tensor:
    np.random.seed(0)  # noqa: NPY002 - the toolbox draws from the global generator
    return torch.from_numpy(attack.generate(examples.images.numpy(), examples.labels.numpy()))


def robust(images: torch.Tensor, examples: LabelledImages) -> float:
    return accuracy(small_cnn(), images, examples.labels)


@pytest.mark.parametrize(("norm", "order", "eps"), [("linf", np.inf, 8 / 255), ("l2", 2, 0.5)])
def test_fgsm_and_pgd_equal_the_toolbox(evasion: ModuleType, norm: Norm, order: float, eps: float) -> None:
    """On a network that is less sure of itself: where a probability is 1 in float32, the toolbox's cross entropy has no
    right gradient any more. And far from 0 and 1: in L2 the toolbox cuts before it projects, and we after it."""
    examples, network = disc_examples(100), copy.deepcopy(small_cnn())
    examples = LabelledImages(0.2 + 0.6 * examples.images, examples.labels, examples.image_ids)
    network.append(Cooler())
    classifier = toolbox(network)
    one = evasion.FastGradientMethod(classifier, norm=order, eps=eps)
    many = evasion.ProjectedGradientDescentNumpy(
        classifier, order, eps=eps, eps_step=eps / 4, max_iter=6, verbose=False
    )
    pgd = Pgd(norm=norm, steps=6, step_fraction=0.25, random_start=False)
    for ours, theirs in ((Fgsm(norm=norm), one), (pgd, many)):
        found = ours(network, examples, [Eps(eps)])[0].images
        torch.testing.assert_close(found, generate(theirs, examples), atol=1e-6, rtol=0)


class Cooler(nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits / 8


@pytest.mark.parametrize(("norm", "order", "eps"), [("linf", np.inf, 0.03), ("l2", 2, 0.6)])
def test_apgd_fools_as_many(evasion: ModuleType, classifier: Any, norm: Norm, order: float, eps: float) -> None:
    examples = disc_examples(100)
    theirs = evasion.AutoProjectedGradientDescent(
        classifier, norm=order, eps=eps, eps_step=2 * eps, max_iter=40, nb_random_init=1, verbose=False
    )
    found = Apgd(norm=norm, steps=40)(small_cnn(), examples, [Eps(eps)])[0].images
    assert 0.1 < robust(found, examples) <= robust(generate(theirs, examples), examples) + 0.02


def test_square_fools_as_many(evasion: ModuleType, classifier: Any) -> None:
    """In L∞; in L2 the toolbox divides by what algorithm 3 multiplies with."""
    examples = disc_examples(100)
    theirs = evasion.SquareAttack(classifier, norm=np.inf, eps=0.045, max_iter=300, nb_restarts=1, verbose=False)
    found = Square(queries=300)(small_cnn(), examples, [Eps(0.045)])[0].images
    assert 0.05 < robust(found, examples) <= robust(generate(theirs, examples), examples) + 0.1


def test_deepfool_has_the_same_norms(evasion: ModuleType, classifier: Any) -> None:
    examples = disc_examples(100)
    found = Deepfool()(small_cnn(), examples).images
    theirs = generate(evasion.DeepFool(classifier, epsilon=0.02, batch_size=100, verbose=False), examples)
    assert robust(found, examples) == 0
    assert robust(theirs, examples) < 0.05
    ours, expected = (norms(images - examples.images, "l2").mean().item() for images in (found, theirs))
    assert ours == pytest.approx(expected, rel=0.03)


def test_one_pixel_fools_as_many(evasion: ModuleType, classifier: Any) -> None:
    examples = disc_examples(30)
    further = Deepfool()(small_cnn(), examples).images
    examples = LabelledImages(torch.lerp(examples.images, further, 0.7), examples.labels, examples.image_ids)
    found = OnePixel(pixels=3, population=100, generations=20)(small_cnn(), examples).images
    theirs = generate(evasion.PixelAttack(classifier, th=3, es=1, max_iter=20), examples).clamp(0, 1)
    assert 0.05 < robust(found, examples) < 0.95
    assert robust(found, examples) <= robust(theirs, examples) + 0.1


def test_universal_fools_as_many(evasion: ModuleType, classifier: Any) -> None:
    examples = disc_examples(30)
    theirs = evasion.UniversalPerturbation(
        classifier, "deepfool", {"verbose": False}, delta=0.4, max_iter=8, eps=0.15, norm=np.inf, verbose=False
    )
    found = Universal(fooling_rate=0.6, epochs=8)(small_cnn(), examples, [Eps(0.15)])[0].images
    assert robust(found, examples) <= robust(generate(theirs, examples).clamp(0, 1), examples) + 0.1
