import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import affine, rotate

from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.synthetic_drawing import draw_template
from pipelines.errors import SettingsError
from training.augmentation.augmentation import DRAWS, LATER_DRAWS, Augmentation, Mirrors

STILL = {"rotation_deg": 0.0, "contrast": 0.0, "flips": "none"}
MIRRORED, UPSIDE_DOWN, NUM_CLASSES = GTSRB_CARD.hflip, GTSRB_CARD.vflip, GTSRB_CARD.num_classes
MIRRORS = Mirrors.of(GTSRB_CARD)


def augment(images: torch.Tensor, labels: torch.Tensor, seed: int = 0, **settings: object) -> tuple[torch.Tensor, ...]:
    augmentation = Augmentation.model_validate({**STILL, **settings})
    return augmentation(images, labels, uniform(len(images), seed, augmentation.draws), MIRRORS)


def uniform(count: int, seed: int, numbers: int = DRAWS) -> torch.Tensor:
    return torch.rand((numbers, count), generator=torch.Generator().manual_seed(seed))


def batch(count: int = 64, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 24, 24, generator=generator), torch.arange(count) % NUM_CLASSES


def template(label: int) -> np.ndarray:
    """The drawn sign on grey, shrunk so that a pixel more or less does not count."""
    drawn = draw_template(label)
    image = drawn if isinstance(drawn, PillowImage.Image) else drawn.image
    flat = PillowImage.new("RGB", image.size, "grey")
    flat.paste(image, mask=image.getchannel("A"))
    return np.asarray(flat.resize((32, 32)), np.float32)


def test_without_settings_nothing_changes() -> None:
    images, labels = batch()
    changed, kept = augment(images, labels)
    assert torch.equal(changed, images)
    assert torch.equal(kept, labels)


def test_the_draws_alone_determine_the_result() -> None:
    images, labels = batch()
    first, again, other = (
        augment(images, labels, seed, **Augmentation(flips="label_safe").model_dump())[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= first.min() <= first.max() <= 1


def test_what_happens_to_an_image_does_not_depend_on_its_batch() -> None:
    images, labels = batch()
    draws = uniform(64, seed=0)
    augmentation = Augmentation(shift_fraction=0.1, zoom_fraction=0.1, flips="label_safe")
    together, _ = augmentation(images, labels, draws, MIRRORS)
    alone, _ = augmentation(images[5:9], labels[5:9], draws[:, 5:9], MIRRORS)
    torch.testing.assert_close(alone, together[5:9])


def test_rotation_equals_torchvisions_by_the_drawn_angle() -> None:
    images, labels = batch(16)
    turned, _ = augment(images, labels, rotation_deg=40.0)
    angles = (uniform(16, seed=0)[2] * 2 - 1) * 40
    for image, result, angle in zip(images, turned, angles, strict=True):
        torch.testing.assert_close(result, rotate(image, angle.item(), InterpolationMode.BILINEAR), atol=2e-4, rtol=0)


def test_shear_equals_torchvisions_by_the_drawn_angle() -> None:
    images, labels = batch(16)
    sheared, _ = augment(images, labels, shear_deg=20.0)
    angles = (uniform(16, 0, DRAWS + LATER_DRAWS)[DRAWS] * 2 - 1) * 20
    assert angles.abs().max() > 15
    for image, result, angle in zip(images, sheared, angles, strict=True):
        expected = affine(image, 0.0, [0, 0], 1.0, [angle.item(), 0.0], InterpolationMode.BILINEAR)
        torch.testing.assert_close(result, expected, atol=5e-4, rtol=0)


def test_gamma_is_a_power_whose_logarithm_is_uniform() -> None:
    images, labels = batch(400)
    changed, _ = augment(images, labels, gamma=1.0)
    exponents = (changed.clamp_min(1e-6).log() / images.clamp_min(1e-6).log()).flatten(1).median(1).values
    drawn = 2 ** (uniform(400, 0, DRAWS + LATER_DRAWS)[DRAWS + 1] * 2 - 1)
    torch.testing.assert_close(exponents, drawn, atol=1e-3, rtol=1e-3)
    assert 0.5 <= exponents.min() < 0.52
    assert 1.95 < exponents.max() <= 2


def test_settings_that_were_added_later_use_further_draws() -> None:
    """So that those of the earlier ones stay what they were."""
    images, labels = batch()
    settings = Augmentation(flips="label_safe", shift_fraction=0.1, zoom_fraction=0.1, brightness=0.2)
    later = settings.model_copy(update={"shear_deg": 1e-9})
    assert (settings.draws, later.draws) == (DRAWS, DRAWS + LATER_DRAWS)
    draws = uniform(64, 0, DRAWS + LATER_DRAWS)
    one, other = settings(images, labels, draws[:DRAWS], MIRRORS), later(images, labels, draws, MIRRORS)
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=0)
    assert torch.equal(one[1], other[1])


def test_contrast_scales_around_each_channels_mean_by_a_factor_within_the_bounds() -> None:
    images, labels = batch()
    images = images * 0.2 + 0.4  # so that nothing is clipped
    changed, _ = augment(images, labels, contrast=0.6)
    torch.testing.assert_close(changed.mean(dim=(2, 3)), images.mean(dim=(2, 3)))
    factors = changed.std(dim=(2, 3)) / images.std(dim=(2, 3))
    torch.testing.assert_close(factors, factors[:, :1].expand(-1, 3))
    assert 0.4 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.6


def test_brightness_adds_one_number_within_the_bounds_to_each_image() -> None:
    images, labels = batch(400)
    images = images * 0.2 + 0.4  # so that nothing is clipped
    changed, _ = augment(images, labels, brightness=0.3)
    added = changed - images
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added))
    assert -0.3 <= added.min() < -0.28
    assert 0.28 < added.max() <= 0.3


def test_all_flips_keep_labels_and_turn_half_of_the_images_each_way() -> None:
    images, labels = batch(400)
    changed, kept = augment(images, labels, flips="all")
    assert torch.equal(kept, labels)
    ways = {"as it was": images, "mirrored": images.flip(3), "upside down": images.flip(2), "both": images.flip(2, 3)}
    for name, way in ways.items():
        share = sum(torch.equal(one, other) for one, other in zip(changed, way, strict=True)) / 400
        assert share == pytest.approx(0.25, abs=0.08), name


def test_label_safe_flips_touch_only_signs_that_stay_signs_and_swap_pairs() -> None:
    images, labels = batch(43 * 40)
    changed, new_labels = augment(images, labels, flips="label_safe")
    for label in range(NUM_CLASSES):
        rows = labels == label
        if label not in MIRRORED and label not in UPSIDE_DOWN:
            assert torch.equal(changed[rows], images[rows])
        assert set(new_labels[rows].tolist()) == {label, MIRRORED.get(label, label)}
    swapped = new_labels != labels
    assert torch.equal(changed[swapped], images[swapped].flip(3))


@pytest.mark.parametrize(("becomes", "axis"), [(MIRRORED, 1), (UPSIDE_DOWN, 0)])
def test_a_flipped_sign_looks_like_the_sign_of_its_new_label(becomes: dict[int, int], axis: int) -> None:
    """Against drawings of the signs: nearest to the flipped drawing is the drawing of the label it gets."""
    templates = np.stack([template(label) for label in range(NUM_CLASSES)])
    for label, new_label in becomes.items():
        flipped = np.flip(templates[label], axis)
        distances = np.abs(templates - flipped).mean(axis=(1, 2, 3))
        assert distances.argmin() == new_label, label


def test_auto_flips_are_those_that_the_card_allows_and_label_safe_ones_without_a_map_are_refused() -> None:
    mnist = Mnist.card
    assert Augmentation().for_card(GTSRB_CARD).flips == "label_safe"
    assert Augmentation().for_card(mnist).flips == "none"
    assert Augmentation(flips="all").for_card(mnist).flips == "all"
    with pytest.raises(SettingsError, match="the card of mnist does not define mirrors"):
        Augmentation(flips="label_safe").for_card(mnist)


def test_a_card_without_vertical_mirrors_turns_nothing_upside_down() -> None:
    """Six classes, of which 0 and 1 are mirrors of each other: labels above the map, and beyond 42, are no matter."""
    card = GTSRB_CARD.model_copy(
        update={"class_names": tuple(map(str, range(60))), "hflip": {0: 1, 1: 0, 59: 59}, "vflip": {}}
    )
    images, _ = batch(300)
    labels = torch.arange(300) % 60
    changed, became = Augmentation.model_validate({**STILL, "flips": "label_safe"})(
        images, labels, uniform(300, 0), Mirrors.of(card)
    )
    mirrored = uniform(300, 0)[0] < 0.5
    expected = torch.where(mirrored & (labels < 2), 1 - labels, labels)
    assert torch.equal(became, expected)
    turned = mirrored & torch.isin(labels, torch.tensor([0, 1, 59]))
    assert torch.equal(changed[turned], images[turned].flip(3)) and torch.equal(changed[~turned], images[~turned])
