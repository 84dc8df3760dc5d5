import pytest
import torch
from attacked_networks import accuracy, disc_examples, grey_examples, linear, small_cnn

from training.attacks import Eps, SnrDb
from training.attacks.balls import Norm, norms
from training.attacks.universal import Universal


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.15), ("l2", 3.0)])
def test_one_perturbation_fools_most_images_and_random_noise_of_its_norm_does_not(norm: Norm, eps: float) -> None:
    examples = disc_examples(60)
    attack = Universal(norm=norm, fooling_rate=0.6, images_per_step=4)
    direction = attack.fit(small_cnn(), examples, torch.full((60,), eps))
    assert norms(direction[None], norm) <= 1 + 1e-5
    (found,) = attack.apply(examples, direction, [Eps(eps)])
    assert accuracy(small_cnn(), found.images, examples.labels) <= 0.4
    noise = torch.randn(examples.images.shape, generator=torch.Generator().manual_seed(0))
    noise = noise.sign() if norm == "linf" else noise / norms(noise, "l2")[:, None, None, None]
    assert accuracy(small_cnn(), (examples.images + eps * noise).clamp(0, 1), examples.labels) > 0.9


def test_it_carries_over_to_images_that_it_was_not_fitted_on() -> None:
    fitted, others = disc_examples(60), disc_examples(60, seed=9)
    attack = Universal(fooling_rate=0.6, images_per_step=4)
    direction = attack.fit(small_cnn(), fitted, torch.full((60,), 0.15))
    (found,) = attack.apply(others, direction, [Eps(0.15)])
    assert accuracy(small_cnn(), found.images, others.labels) < 0.6


def test_calling_it_fits_and_applies() -> None:
    examples = disc_examples(20)
    attack = Universal(epochs=1)
    (called,) = attack(small_cnn(), examples, [Eps(0.1)])
    direction = attack.fit(small_cnn(), examples, torch.full((20,), 0.1))
    assert torch.equal(called.images, attack.apply(examples, direction, [Eps(0.1)])[0].images)
    assert torch.equal(called.images, attack.perturb(small_cnn(), examples, torch.full((20,), 0.1)))


def test_at_a_ratio_every_image_gets_the_same_direction_at_its_own_length() -> None:
    network = linear(2)
    examples = grey_examples(network, 10)
    attack = Universal(norm="l2", epochs=3)
    (found,) = attack(network, examples, [SnrDb(20)])
    noise = (found.images - examples.images).flatten(1).double()
    ways = noise / noise.norm(dim=1, keepdim=True)
    torch.testing.assert_close(ways, ways[:1].expand_as(ways), atol=1e-5, rtol=0)
    assert found.snr_db_before_clamp.min() >= 20 - 0.01


def test_it_ends_when_enough_are_fooled() -> None:
    examples = disc_examples(30)
    early = Universal(fooling_rate=0.1, epochs=1).fit(small_cnn(), examples, torch.full((30,), 0.2))
    later = Universal(fooling_rate=0.1, epochs=9).fit(small_cnn(), examples, torch.full((30,), 0.2))
    assert torch.equal(early, later)
