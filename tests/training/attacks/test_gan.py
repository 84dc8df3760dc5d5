"""The attack by a trained generator: its direction, at the requested strength."""

import pytest
import torch
from small_attacks import SIZE_PX, classifier

from pipelines.settings import describe
from training.attacks import AttackError, Eps, LabelledImages, SnrDb
from training.attacks.gan import Gan
from training.gans.adversarial import Adversarial
from training.gans.trained import GanShape, TrainedGan

SHAPE = GanShape(SIZE_PX, 43, tuple(range(43)))


@pytest.fixture(scope="module")
def generator() -> TrainedGan:
    gan = Adversarial(snr_db=30)
    return TrainedGan(SHAPE.build(gan, seed=3).generator.eval(), gan, SHAPE)


@pytest.fixture
def attack(generator: TrainedGan) -> Gan:
    return Gan(generator=generator.digest).opened(generator.perturbation)


def examples() -> LabelledImages:
    """The first image is black; no value is so close to 0 or 1 that it would be clipped."""
    images = 0.2 + 0.6 * torch.rand((5, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(1))
    images[0] = 0
    return LabelledImages(images, torch.arange(5), [f"test/{row:05d}" for row in range(5)])


def test_images_are_what_the_generator_adds_brought_to_the_ratio(attack: Gan, generator: TrainedGan) -> None:
    given = examples()
    weak, strong = attack(classifier().network, given, [SnrDb(40), SnrDb(20)])
    added = generator.sample(given.labels, torch.Generator(), given.images) - given.images
    for attacked, snr_db in ((weak, 40), (strong, 20)):
        torch.testing.assert_close(attacked.images[0], given.images[0])
        for image, result, own in zip(given.images[1:], attacked.images[1:], added[1:], strict=True):
            expected = image + own / own.norm() * image.norm() / 10 ** (snr_db / 20)
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            attacked.snr_db_before_clamp[1:], torch.full((4,), snr_db, dtype=torch.float64), atol=1e-3, rtol=0
        )


def test_a_radius_is_the_largest_change_of_a_value(attack: Gan) -> None:
    given = examples()
    (attacked,) = attack(classifier().network, given, [Eps(0.05)])
    changes = (attacked.images - given.images).abs().amax((1, 2, 3))
    torch.testing.assert_close(changes[1:], torch.full((4,), 0.05), atol=1e-6, rtol=0)


def test_a_loaded_generator_is_not_a_setting(attack: Gan, generator: TrainedGan) -> None:
    bare = Gan(generator=generator.digest)
    assert describe(attack) == describe(bare)
    assert attack.variant == bare.variant


def test_an_attack_that_was_not_opened_says_what_it_lacks() -> None:
    with pytest.raises(AttackError, match=r"attack\.generator=latest: the generator is not loaded"):
        Gan()(classifier().network, examples(), [SnrDb(33)])


def test_variants_are_named_by_the_generators_name_and_never_by_its_place() -> None:
    assert Gan(generator="somewhere/model.pt").variant == "gan-adversarial"
    assert Gan(name="eps_8", norm="l2").variant == Gan(name="eps_8", norm="l2").curve == "gan-eps_8_norm_l2"
