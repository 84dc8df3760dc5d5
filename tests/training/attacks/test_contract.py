"""The contract of all attacks."""

import copy
from pathlib import Path

import pytest
import torch
from attacked_networks import CLASSES, disc_examples, grey_examples, linear, small_cnn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.settings import choose, describe
from training.attacks import ATTACKS, Attack, Attacked, AttackError, Eps, FixedStrength, LabelledImages, SnrDb, Strength
from training.attacks.balls import norms

SHORT: dict[str, dict[str, object]] = {
    "fgsm": {},
    "pgd": {"steps": 4, "restarts": 2},
    "apgd": {"steps": 8},
    "square": {"queries": 30},
    "universal": {"epochs": 1, "images_per_step": 4},
    "deepfool": {},
    "one_pixel": {"population": 20, "generations": 3},
}
"""Attacks in a form that takes milliseconds."""
OF_THEIR_OWN = {"ensemble": "test_ensemble.py", "gan": "test_gan.py"}
"""Attacks that cannot be short, or need a file, and where they are tested instead."""
MEMBERS = [
    pytest.param(ATTACKS[kind].model_validate({**values, **norm}), id=f"{kind} {' '.join(norm.values())}")
    for kind, values in SHORT.items()
    for norm in (({"norm": "linf"}, {"norm": "l2"}) if "norm" in ATTACKS[kind].model_fields else ({},))
]


def attacked(attack: Attack, examples: LabelledImages, strength: Strength) -> Attacked:
    if isinstance(attack, FixedStrength):
        return attack(small_cnn(), examples, [strength])[0]
    return attack(small_cnn(), examples)  # type: ignore[operator]


@pytest.mark.parametrize("attack", MEMBERS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99), eps=st.floats(0, 1.5), as_snr=st.booleans())
@example(seed=0, eps=1e-45, as_snr=False)  # next to nothing, and to divide by it gives infinities
def test_results_are_inside_the_ball_and_inside_0_to_1(attack: Attack, seed: int, eps: float, as_snr: bool) -> None:
    examples = disc_examples(6, seed)
    strength: Strength = SnrDb(20 + 20 * eps) if as_snr else Eps(eps)
    found = attacked(attack, examples, strength)
    assert found.images.dtype == torch.float32 and found.images.shape == examples.images.shape
    assert found.images.min() >= 0 and found.images.max() <= 1
    if not isinstance(attack, FixedStrength):
        assert found.snr_db_asked.isnan().all()
    elif as_snr:
        assert (found.snr_db >= found.snr_db_asked - 0.01).all()
    else:
        assert (norms(found.images - examples.images, attack.norm) <= eps + 2e-6).all()


@pytest.mark.parametrize("attack", [member for member in MEMBERS if isinstance(member.values[0], FixedStrength)])
def test_eps_0_is_the_identity(attack: Attack) -> None:
    examples = disc_examples(6)
    found = attacked(attack, examples, Eps(0.0))
    assert torch.equal(found.images, examples.images)
    assert (found.snr_db == torch.inf).all() and found.kept.all()


@pytest.mark.parametrize("attack", [member for member in MEMBERS if member.values[0].kind != "universal"])
def test_a_result_does_not_depend_on_the_other_images_of_its_batch(attack: Attack) -> None:
    examples = disc_examples(12)
    together = attacked(attack, examples, SnrDb(25)).images
    for rows in (torch.arange(5), torch.tensor([11, 7])):
        alone = attacked(attack, examples.at(rows), SnrDb(25)).images
        different = ((alone - together[rows]).abs().amax(1) > 1e-5).double().mean()
        assert different < 0.01  # a rounded gradient's sign may turn, in a pixel here and there


@pytest.mark.parametrize("attack", MEMBERS)
def test_equal_calls_give_equal_bytes_and_draw_nothing_from_the_global_generator(attack: Attack) -> None:
    examples = disc_examples(6)
    state = torch.random.get_rng_state()
    first, second = (attacked(attack, examples, SnrDb(28)).images for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, second)


@pytest.mark.parametrize("attack", MEMBERS)
def test_network_and_examples_stay_as_they_are(attack: Attack) -> None:
    examples, state = disc_examples(6), copy.deepcopy(small_cnn().state_dict())
    images, labels = examples.images.clone(), examples.labels.clone()
    with torch.no_grad():
        found = attacked(attack, examples, SnrDb(28))
    assert torch.equal(examples.images, images) and torch.equal(examples.labels, labels)
    assert attack.kind == "one_pixel" or not torch.equal(found.images, images)
    assert all(torch.equal(state[name], value) for name, value in small_cnn().state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in small_cnn().parameters())
    assert not found.images.requires_grad


@pytest.mark.parametrize("attack", MEMBERS)
def test_bad_examples_and_networks_in_training_are_refused(attack: Attack) -> None:
    examples = disc_examples(3)
    with pytest.raises(AttackError, match=r"outside of \[0, 1\]"):
        attacked(attack, LabelledImages(examples.images * 255, examples.labels, examples.image_ids), Eps(0.1))
    with pytest.raises(AttackError, match=rf"labels \[{CLASSES}\] of .*image-0"):
        attacked(attack, LabelledImages(examples.images, examples.labels * 0 + CLASSES, examples.image_ids), Eps(0.1))
    network = linear(4).train()
    with pytest.raises(AttackError, match="training mode"):
        attack(network, grey_examples(network, 2), *([[Eps(0.1)]] if isinstance(attack, FixedStrength) else []))  # type: ignore[operator]


@pytest.mark.parametrize("attack", MEMBERS)
def test_no_examples_give_no_images(attack: Attack) -> None:
    found = attacked(attack, disc_examples(3).at(torch.zeros(3, dtype=torch.bool)), Eps(0.1))
    assert found.images.shape == (0, 3, 16, 16) and found.snr_db.shape == (0,)


@pytest.mark.parametrize("attack", MEMBERS)
def test_an_attack_is_made_again_from_its_description(attack: Attack) -> None:
    assert choose(ATTACKS, describe(attack)) == attack


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="radius"):
        ATTACKS["pgd"].model_validate({"radius": 3})


def test_every_attack_of_the_menu_is_tested_here() -> None:
    assert ATTACKS.keys() == SHORT.keys() | OF_THEIR_OWN.keys(), "give a new attack a line in SHORT"
    assert not SHORT.keys() & OF_THEIR_OWN.keys()
    assert all((Path(__file__).parent / name).is_file() for name in OF_THEIR_OWN.values())


def test_the_menu_is_plain_and_its_keys_name_its_files(repository: Path) -> None:
    for key, member in ATTACKS.items():
        assert (repository / "training" / "attacks" / f"{key}.py").is_file()
        assert member.__name__ == "".join(word.capitalize() for word in key.split("_"))
        assert member.kind == key


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_minimal_or_search_attack_keeps_misclassified_images(norm: str) -> None:
    examples = disc_examples(4)
    wrong = LabelledImages(examples.images, (examples.labels + 1) % CLASSES, examples.image_ids)
    for kind in ("apgd", "square", "deepfool", "one_pixel"):
        values = {**SHORT[kind], **({"norm": norm} if kind != "one_pixel" else {})}
        assert torch.equal(attacked(ATTACKS[kind].model_validate(values), wrong, Eps(0.3)).images, wrong.images)
