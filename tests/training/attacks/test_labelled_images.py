import pytest
import torch

from training.attacks import AttackError, LabelledImages
from training.attacks.labelled_images import Draws, generator

IMAGES = torch.full((4, 3, 5, 5), 0.5)
LABELS = torch.tensor([0, 1, 2, 3])
IDS = ["a", "b", "c", "d"]


def test_images_outside_of_0_to_1_are_refused_by_name() -> None:
    images = IMAGES.clone()
    images[1, 0, 0, 0], images[3, 2, 4, 4] = 1.01, torch.nan
    with pytest.raises(AttackError, match=r"outside of \[0, 1\].*: b, d; divide uint8 by 255"):
        LabelledImages(images, LABELS, IDS).check()
    LabelledImages(IMAGES, LABELS, IDS).check()


@pytest.mark.parametrize(
    "examples",
    [
        LabelledImages(IMAGES.double(), LABELS, IDS),
        LabelledImages(IMAGES[0], LABELS, IDS),
        LabelledImages(IMAGES, LABELS.int(), IDS),
        LabelledImages(IMAGES, LABELS[:3], IDS),
        LabelledImages(IMAGES, LABELS, IDS[:3]),
    ],
)
def test_other_types_and_counts_are_refused(examples: LabelledImages) -> None:
    with pytest.raises(AttackError, match="expected"):
        examples.check()


def test_a_message_names_five_images_and_counts_the_others() -> None:
    examples = LabelledImages(IMAGES.repeat(2, 1, 1, 1), LABELS.repeat(2), [f"i{number}" for number in range(8)])
    assert examples.name(torch.ones(8, dtype=torch.bool)) == "i0, i1, i2, i3, i4 and 3 more"


def test_some_examples_are_chosen_by_mask_or_by_index() -> None:
    examples = LabelledImages(IMAGES, LABELS, IDS, seed=7)
    for rows in (torch.tensor([False, True, False, True]), torch.tensor([1, 3])):
        chosen = examples.at(rows)
        assert (list(chosen.image_ids), chosen.labels.tolist(), chosen.seed) == (["b", "d"], [1, 3], 7)


def test_an_images_random_numbers_do_not_depend_on_its_batch() -> None:
    examples = LabelledImages(IMAGES, LABELS, IDS, seed=7)
    together = Draws.of(examples, "pgd")
    first, second = together.uniform(2, 3), together.normal(4)
    alone = Draws.of(examples.at(torch.tensor([2])), "pgd")
    assert torch.equal(alone.uniform(2, 3)[0], first[2])
    assert torch.equal(alone.normal(4)[0], second[2])
    assert torch.equal(together.at(torch.tensor([2])).uniform(2), alone.uniform(2))


def test_seed_kind_and_image_each_change_the_random_numbers() -> None:
    keys = [(0, "pgd", "a"), (1, "pgd", "a"), (0, "square", "a"), (0, "pgd", "b")]
    assert len({torch.rand((), generator=generator(*key)).item() for key in keys}) == len(keys)
    assert torch.rand((), generator=generator(*keys[0])) == torch.rand((), generator=generator(*keys[0]))


def test_random_numbers_have_their_distributions() -> None:
    examples = LabelledImages(IMAGES, LABELS, IDS)
    draws = Draws.of(examples, "any")
    uniform, normal, signs = draws.uniform(20_000), draws.normal(20_000), draws.signs(20_000)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.02)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert signs.mean().item() == pytest.approx(0, abs=0.02)
