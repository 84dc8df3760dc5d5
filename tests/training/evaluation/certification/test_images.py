"""Certificates of a linear classifier, whose smoothed probabilities and distances are known, and of a small CNN."""

import numpy as np
import pytest
import torch
from attacked_networks import CLASSES, disc_examples, examples_of, linear, small_cnn, weights
from cohen_twin import certify
from scipy.stats import norm
from torch import nn

from training.attacks.pgd import Pgd
from training.evaluation.certification.images import (
    Certificate,
    LipschitzCertifier,
    Outcome,
    SmoothingCertifier,
    outcomes,
)
from training.evaluation.certification.settings import CertifiedData, CertifyClassifier
from training.evaluation.certification.smoothing import CHUNK, Smoothed
from training.evaluation.certification.table import Tally, image_rows, read_rows
from training.evaluation.intervals.proportions import Units

SETTINGS = CertifyClassifier(
    model="m", snr_db=(30.0, 20.0, 10.0, 5.0), sigma_grey=51.0, samples=150, selection_samples=30,
    attack=Pgd(norm="l2", steps=5), attack_draws=4, attack_samples=100, data=CertifiedData(root="r"), seed=5,
)  # fmt: skip
STD = 0.02
"""Five grey levels, so that noise on mid-grey images is never clipped."""


def certifier(network: nn.Module, classes: int, settings: CertifyClassifier = SETTINGS) -> SmoothingCertifier:
    return SmoothingCertifier(settings, Smoothed(network, settings.std, classes, settings.seed, CHUNK))


def distances(network: nn.Sequential, images: torch.Tensor) -> np.ndarray:
    """(w₁ − w₀) x + b₁ − b₀ over ‖w₁ − w₀‖, signed, in float64."""
    difference = weights(network)[1] - weights(network)[0]
    bias = network[1].bias.detach().double().numpy()
    return (images.double().flatten(1).numpy() @ difference + bias[1] - bias[0]) / np.linalg.norm(difference)


def at_distance(network: nn.Sequential, wanted: list[float]) -> torch.Tensor:
    """Mid-grey images so far from the hyperplane."""
    difference = weights(network)[1] - weights(network)[0]
    unit = torch.from_numpy(difference / np.linalg.norm(difference)).float().view(3, 6, 6)
    return torch.stack([0.5 + distance * unit for distance in wanted])


def test_a_linear_classifier_has_its_closed_form() -> None:
    network, sigmas = linear(2), [0.1, 0.5, 1.0, 1.5, 2.0, -0.7, -1.8]
    images = at_distance(network, [STD * one for one in sigmas])
    true = distances(network, images)
    assert np.allclose(true, [STD * one for one in sigmas], atol=1e-6)
    settings = SETTINGS.model_copy(update={"sigma_grey": 255 * STD, "samples": 20_000})
    found = [certifier(network, 2, settings).certify(image, str(row)) for row, image in enumerate(images)]
    for one, distance in zip(found, true.tolist(), strict=True):
        assert one.predicted == int(distance > 0)
        assert one.hits == pytest.approx(20_000 * norm.cdf(abs(distance) / STD), abs=4 * 20_000**0.5 / 2)
        assert 0.85 * abs(distance) - 0.05 * STD < one.radius_l2 <= abs(distance)


def test_nothing_inside_a_certified_ball_changes_the_smoothed_class() -> None:
    """10⁵ points of the balls, half of them as far as possible and towards the hyperplane; the smoothed class of a
    linear classifier is the class itself."""
    network, random = linear(2), np.random.default_rng(0)
    images = at_distance(network, (STD * random.uniform(-2, 2, 100)).tolist())
    settings = SETTINGS.model_copy(update={"sigma_grey": 255 * STD, "samples": 1000})
    tried = 0
    for row, image in enumerate(images):
        one = certifier(network, 2, settings).certify(image, str(row))
        if one.predicted is None:
            continue
        steps = random.standard_normal((1000, 108))
        towards = (1 - 2 * one.predicted) * (weights(network)[1] - weights(network)[0])
        steps[::2] = towards + 0.1 * steps[::2]
        steps *= one.radius_l2 * (1 - 1e-6) / np.linalg.norm(steps, axis=1, keepdims=True)
        points = torch.from_numpy(image.double().flatten().numpy() + steps)
        assert (np.sign(distances(network, points)) == 2 * one.predicted - 1).all()
        tried += len(points)
    assert tried > 90_000


def test_near_the_boundary_it_abstains() -> None:
    found = certifier(linear(2), 2).certify(at_distance(linear(2), [0.0])[0], "a")
    assert found.predicted is None and found.radius_l2 == 0
    assert found.p_lower is not None and found.p_lower <= 0.5


def test_it_equals_the_slow_twin_on_20_images() -> None:
    examples = disc_examples(20)
    network = small_cnn()
    for image, image_id in zip(examples.images, examples.image_ids, strict=True):
        found = certifier(network, CLASSES).certify(image, image_id)
        twin = certify(network, image, image_id, 30, 150, SETTINGS.alpha, 51 / 255, 5)
        assert (found.predicted, found.hits) == (twin.predicted, twin.hits)
        assert found.radius_l2 == pytest.approx(twin.radius, abs=1e-9)


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    examples = disc_examples(24)
    black = torch.cat([examples.images[:23], torch.zeros(1, 3, 16, 16)])
    examples = examples_of(black, examples.labels)
    predicted = small_cnn()(examples.images).argmax(1).numpy()
    return outcomes(certifier(small_cnn(), CLASSES), SETTINGS, examples, predicted)


def test_certified_is_at_most_empirical_at_most_clean(found: list[Outcome]) -> None:
    tally = Tally(found, Units("image"))
    shares = []
    for snr_db in SETTINGS.snr_db:
        certified, unbroken = tally.certified(snr_db), tally.unbroken(snr_db)
        assert not tally.violations(snr_db)
        assert (certified <= unbroken).all() and (unbroken <= tally.right).all()
        shares.append((certified.sum(), unbroken.sum()))
    assert shares == sorted(shares, reverse=True)
    assert shares[0][0] > shares[-1][0] and shares[0][1] > shares[-1][1], "the attack breaks none"
    assert tally.certified(-300.0).sum() <= 1, "only a black image, of which there is no stronger perturbation"


def test_results_do_not_depend_on_the_other_images_nor_on_threads(found: list[Outcome]) -> None:
    examples = disc_examples(24)
    some = examples.at(torch.tensor([7, 2]))
    predicted = np.array([found[7].network_predicted, found[2].network_predicted])
    torch.set_num_threads(2)
    try:
        again = outcomes(certifier(small_cnn(), CLASSES), SETTINGS, some, predicted)
    finally:
        torch.set_num_threads(1)
    assert [one.certificate for one in again] == [found[7].certificate, found[2].certificate]


def test_a_row_keeps_everything(found: list[Outcome]) -> None:
    table = image_rows(found)
    assert read_rows(table) == found
    for row in table.to_pylist():
        if row["certified_snr_db"] is not None:
            assert row["norm_l2"] / 10 ** (row["certified_snr_db"] / 20) == pytest.approx(row["radius_l2"])
    assert table["norm_l2"].to_pylist()[-1] == 0 and table["certified_snr_db"].to_pylist()[-1] is None


def test_a_linear_network_with_its_constant_is_certified_to_its_distance() -> None:
    """With orthogonal rows of norm 1 the margin over √2 is the distance."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(108, 2, bias=False)).eval()
    nn.init.orthogonal_(network[1].weight)
    image = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    found = LipschitzCertifier(network, 1.0).certify(image, "a")
    logits = network(image[None])[0].detach()
    assert found == Certificate(int(logits.argmax()), found.radius_l2)
    assert found.radius_l2 == pytest.approx(abs(float(logits[0] - logits[1])) / 2**0.5, rel=1e-5)
