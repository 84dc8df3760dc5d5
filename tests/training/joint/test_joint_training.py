from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from joint_twin import Networks, PlainStep, plain_joint
from small_datasets import Small
from small_joint import PARTS, joint_recipe, joint_training, joint_weights, run_steps, write_digits
from small_runs import write_dataset

from pipelines.errors import SettingsError
from training.joint.training import JointTraining

N_CRITIC, ITERATIONS = 3, 4
STEPS = N_CRITIC * ITERATIONS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def optimizer_steps(training: JointTraining) -> dict[str, int]:
    """As each optimizer has counted them."""
    counted = {}
    for name, player in training.learners.items():
        (steps,) = {int(state["step"]) for state in player.optimizer.state.values()} or {0}
        counted[name] = steps
    return counted


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_the_critic_takes_n_critic_steps_an_iteration_and_classifiers_one_in_every_second(
    root: Path, iterations: int
) -> None:
    settings = joint_recipe(root, iterations=iterations * 2, keep_every=1, classifier_seeds=(5, 6))
    training = run_steps(joint_training(settings), N_CRITIC * iterations)
    assert training.iteration == iterations
    classifiers = ("classic-seed5", "classic-seed6", "robust-seed5", "robust-seed6")
    assert optimizer_steps(training) == {
        "generator": iterations,
        "discriminator": N_CRITIC * iterations,
        **dict.fromkeys(classifiers, iterations // 2),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_it_gives_the_weights_of_a_plain_loop(tmp_path: Path, channels: int) -> None:
    settings = joint_recipe((write_digits if channels == 1 else write_dataset)(tmp_path))
    ours = joint_training(settings)
    begun = joint_training(settings)
    assert ours.players.generator(torch.zeros(2, 100), torch.tensor([0, 1])).shape == (2, channels, 8, 8)
    steps = []
    for number in range(STEPS):
        seed = np.random.SeedSequence([settings.seed], spawn_key=(number,)).generate_state(1, np.uint64)[0]
        draws = torch.Generator().manual_seed(int(seed >> 1))
        latent, share, latent_of_classifier = (
            torch.randn(16, 100, generator=draws), torch.rand(16, generator=draws),
            torch.randn(16, 100, generator=draws),
        )  # fmt: skip
        whole = list(ours.train.batches.epoch(number // 5))[number % 5]
        steps.append(PlainStep(whole.images / 255, whole.labels, latent, share, latent_of_classifier))
    names = ("generator", "discriminator", "robust-seed5", "classic-seed5")
    for player in ours.learners.values():  # Adam turns rounding errors of gradients near zero into whole steps
        player.optimizer = torch.optim.SGD(player.network.parameters(), lr=0.05)
    run_steps(ours, STEPS)
    plain = Networks(*(begun.learners[name].network.train() for name in names))
    before = {name: _flat(network) for name, network in zip(names, plain, strict=True)}
    plain_joint(plain, steps, N_CRITIC, 2, 0.05)
    for name, network in zip(names, plain, strict=True):
        own, expected = _flat(ours.learners[name].network), _flat(network)
        assert (own - expected).norm() < 1e-3 * (expected - before[name]).norm(), name


def test_critic_and_generator_learn_with_adam_and_classifiers_with_a_rate_of_their_own(root: Path) -> None:
    settings = joint_recipe(root, lr=0.0001, betas=(0.0, 0.9), classifier_lr=0.001)
    for name, player in joint_training(settings).learners.items():
        (group,) = player.optimizer.param_groups
        assert isinstance(player.optimizer, torch.optim.Adam)
        of_gan = name in ("generator", "discriminator")
        assert (group["lr"], group["betas"]) == ((0.0001, (0.0, 0.9)) if of_gan else (0.001, (0.9, 0.999)))


def _flat(network: torch.nn.Module) -> torch.Tensor:
    """All weights and statistics."""
    return torch.cat([tensor.double().flatten() for tensor in network.state_dict().values()])


def test_a_robust_classifier_sees_the_images_of_the_classic_one_and_generated_ones_of_their_classes(root: Path) -> None:
    training = joint_training(joint_recipe(root))
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    seen: dict[str, list[torch.Tensor]] = {}
    training.players.generator.register_forward_hook(lambda _, given, made: asked.append((given[1], made.detach())))
    for pupil in training.pupils:
        place = seen.setdefault(pupil.kind, [])
        training.network(pupil).register_forward_pre_hook(lambda _, given, place=place: place.append(given[0].clone()))
    run_steps(training, 2 * N_CRITIC)
    (classic,), (robust,) = seen["classic"], seen["robust"]
    labels, made = asked[-1]
    batch = list(training.train.epoch(0))[5]
    assert torch.equal(labels, batch.labels)
    torch.testing.assert_close(classic, batch.images / 255, atol=1e-6, rtol=0)
    assert torch.equal(robust[:16], classic)
    torch.testing.assert_close(robust[16:], made / 2 + 0.5, atol=1e-6, rtol=0)
    assert robust.min() >= 0 and robust.max() <= 1


def test_both_classifiers_of_a_seed_begin_alike_and_those_of_another_seed_do_not(root: Path) -> None:
    begun = joint_weights(joint_training(joint_recipe(root, classifier_seeds=(5, 6))))
    first = "1.0.weight"
    assert torch.equal(begun[f"classic-seed5.{first}"], begun[f"robust-seed5.{first}"])
    assert not torch.equal(begun[f"classic-seed5.{first}"], begun[f"classic-seed6.{first}"])


def test_stopped_after_any_step_and_resumed_it_gives_the_same_bits(root: Path) -> None:
    settings = joint_recipe(root)
    straight = run_steps(joint_training(settings), STEPS)
    for stop_after in (1, 5, 6, 7, 11):
        first = run_steps(joint_training(settings), stop_after)
        second = joint_training(settings)
        second.load_state(first.state())
        run_steps(second, STEPS)
        assert_equal(joint_weights(second), joint_weights(straight))
    assert second.metrics["loss/robust-seed5"] == straight.metrics["loss/robust-seed5"]


def test_neither_the_number_of_iterations_nor_when_generators_are_kept_changes_a_step(root: Path) -> None:
    one = run_steps(joint_training(joint_recipe(root)), 7)
    other = run_steps(joint_training(joint_recipe(root, iterations=9, keep_every=3)), 7)
    assert_equal(joint_weights(one), joint_weights(other))


def test_other_classifiers_leave_critic_and_generator_as_they_are(root: Path) -> None:
    one = joint_weights(run_steps(joint_training(joint_recipe(root)), STEPS))
    other = joint_weights(run_steps(joint_training(joint_recipe(root, classifier_every=1)), STEPS))
    for name in one:
        assert name.startswith(("classic", "robust")) or torch.equal(one[name], other[name]), name


def test_losses_and_accuracies_are_means_over_what_each_classifier_saw(root: Path) -> None:
    training = joint_training(joint_recipe(root, keep_every=4, classifier_every=1))
    run_steps(training, STEPS)
    training.finish_epoch()
    for kind in ("classic", "robust"):
        assert 0 <= training.metrics[f"accuracy/{kind}-seed5"] <= 1
        assert 0 <= training.metrics[f"accuracy/validation/{kind}-seed5"] <= 1
    assert training.metrics["iteration"] == ITERATIONS
    assert [checked["iteration"] for checked in training.history] == [pytest.approx(ITERATIONS)]


def test_images_of_one_class_are_refused(root: Path) -> None:
    opened = joint_training(joint_recipe(root))
    one_class = replace(opened.gan_shape, classes=(7,))
    with pytest.raises(SettingsError, match=r"all training images are of class 7; two are needed"):
        JointTraining(opened.settings, one_class, opened.shape, opened.ranks, opened.train, opened.validation)


def test_images_that_are_too_small_for_the_generator_are_refused(tmp_path: Path) -> None:
    Small(PARTS, size_px=4).write(tmp_path)
    with pytest.raises(SettingsError, match=r"data.size_px=4: wgan_gp needs at least 8"):
        joint_training(joint_recipe(tmp_path, data={"root": str(tmp_path), "size_px": 4}))
