"""What objectives and step hooks may do in a training, beside plain loops that do the same."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from on_adversarial_images import OnAdversarialImages
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from training.attacks import Eps, LabelledImages
from training.attacks.in_training import adversarial_images
from training.attacks.pgd import Pgd
from training.classifiers.training import ClassifierTraining
from training.loop.players import StepHook
from training.models import Model
from training.models.baseline_cnn import BaselineCnn
from training.objectives import Losses, Objective, ObjectiveInputs

PGD = Pgd(steps=2, step_fraction=0.5)  # as in OnAdversarialImages
STRENGTH = Eps(8 / 255)


class WithBatchNorm(Model):
    kind: ClassVar[str] = "with_batch_norm"
    dropout: float = 0.0

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        layers = [nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(self.dropout), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(144, num_classes))


class FeaturesStay(Objective):
    """Looks at the features of the images after it has attacked them."""

    kind: ClassVar[str] = "features_stay"
    layers: ClassVar[tuple[str, ...]] = ("1.0", "1.5")
    parts: ClassVar[tuple[str, ...]] = ("mean_feature",)

    def __call__(self, given: ObjectiveInputs) -> Losses:
        logits = given.logits_of(given.images)
        adversarial_images(
            given._replace(images=given.images[:5], labels=given.labels[:5], image_ids=given.image_ids[:5]),
            PGD,
            STRENGTH,
        )
        assert torch.equal(given.features["1.5"], logits)
        features = given.features["1.0"]
        assert features.shape == (len(given.images), 4, 6, 6) and features.requires_grad
        return Losses(features.square().mean((1, 2, 3)), logits, {"mean_feature": features.mean((1, 2, 3))})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_near(network: nn.Module, plain: nn.Module) -> None:
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, atol=2e-3, rtol=2e-3)


def test_training_on_adversarial_images_is_what_a_plain_loop_does(root: Path) -> None:
    """Adam, batch norm and PGD in evaluation mode, on the same batches; the parts are the mean losses."""
    fields = {"augmentation": STILL, "schedule": "constant", "lr": 0.001}
    settings = recipe(root, model=WithBatchNorm(), objective=OnAdversarialImages(), **fields)
    ours = training(settings)
    plain = ours.shape.build(settings.model, settings.seed)
    adam = torch.optim.Adam(plain.parameters(), lr=settings.lr)
    for epoch in range(2):
        adversarial_losses = []
        for step, batch in enumerate(ours.train.epoch(epoch)):
            images, labels = batch.images[batch.valid].float() / 255, batch.labels[batch.valid]
            plain.eval()
            examples = LabelledImages(images, labels, batch.image_ids[: len(labels)], settings.seed, (epoch, step))
            (attacked,) = PGD(plain, examples, [STRENGTH])
            plain.train()
            logits = plain(torch.cat([images, attacked.images]))
            losses = cross_entropy(logits, labels.repeat(2), reduction="none")
            adam.zero_grad()
            losses.mean().backward()
            adam.step()
            adversarial_losses += losses[len(labels) :].tolist()
        run_epochs(ours, epoch + 1)
        assert ours.metrics["loss/adversarial/train"] == pytest.approx(np.mean(adversarial_losses), rel=1e-3)
    assert ours.network[1][1].num_batches_tracked == 2 * len(ours.train)
    assert_near(ours.network, plain)


@pytest.mark.parametrize("steps", [1, 4, 6, 9])
def test_training_on_adversarial_images_resumes_bit_exactly(root: Path, steps: int) -> None:
    """With dropout and augmentation, stopped within an epoch and after its last step."""
    settings = recipe(root, model=WithBatchNorm(dropout=0.25), objective=OnAdversarialImages())
    straight = training(settings)
    run_epochs(straight, 2)
    first = stop_after(training(settings), steps)
    second = training(settings)
    second.load_state(first.state())
    run_epochs(second, 2)
    for one, other in zip(weights(straight.network).values(), weights(second.network).values(), strict=True):
        assert torch.equal(one, other)
    assert straight.metrics["loss/adversarial/train"] == second.metrics["loss/adversarial/train"]


def test_an_objective_is_told_seed_epoch_and_step_so_that_no_two_epochs_attack_from_the_same_start(root: Path) -> None:
    starts: dict[str, list[torch.Tensor]] = {}
    moments: list[tuple[int, int, int]] = []

    class Remembers(OnAdversarialImages):
        def __call__(self, given: ObjectiveInputs) -> Losses:
            moments.append((given.seed, given.epoch, given.step))
            attacked = adversarial_images(given, Pgd(steps=1, step_fraction=1e-9), Eps(0.01))
            for image_id, change in zip(given.image_ids, attacked - given.images, strict=True):
                starts.setdefault(image_id, []).append(change)
            return super().__call__(given)

    to_train = training(recipe(root, model=WithBatchNorm(), augmentation=STILL, objective=Remembers()))
    run_epochs(to_train, 2)
    assert moments == [(3, epoch, step) for epoch in range(2) for step in range(len(to_train.train))]
    assert len(starts) == 94
    assert all(not torch.equal(changes[0], changes[-1]) for changes in starts.values())


def test_features_are_those_of_the_batch_and_not_of_attacks(root: Path) -> None:
    settings = recipe(root, model=WithBatchNorm(), augmentation=STILL, objective=FeaturesStay())
    to_train = training(settings)
    batch = next(iter(to_train.train.epoch(0)))
    convolution = to_train.network[:1].append(to_train.network[1][0])
    with torch.no_grad():
        expected = convolution(batch.images.float() / 255)
    to_train.network.train()
    sums = to_train.train_on(batch)
    assert sums["loss/mean_feature/train"][0].item() / 16 == pytest.approx(expected.mean().item(), rel=1e-4, abs=1e-6)
    assert sums["loss/train"][0].item() / 16 == pytest.approx(expected.square().mean().item(), rel=1e-4)


def test_a_layer_that_the_model_does_not_have_is_named(root: Path) -> None:
    class OneLayer(WithBatchNorm):
        def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(channels * size_px**2, num_classes))

    with pytest.raises(SettingsError, match=r"objective=features_stay: needs the layer '1.5', which this model does"):
        training(recipe(root, model=OneLayer(), objective=FeaturesStay()))


class Clip:
    """Weight clipping, as in the first Wasserstein GAN."""

    def __init__(self, network: nn.Module, most: float) -> None:
        self.network, self.most = network, most

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.network.parameters():
            parameter.clamp_(-self.most, self.most)


def test_a_step_hook_changes_the_weights_between_a_step_and_the_next(root: Path) -> None:
    """Clipping after each of Adam's steps, in a plain loop and as a hook."""
    settings = recipe(root, model=BaselineCnn(), augmentation=STILL, schedule="constant", lr=0.001)
    bare = training(settings)
    hooks: list[StepHook] = []
    ours = ClassifierTraining(settings, bare.shape, bare.ranks, bare.train, bare.validation, hooks=hooks)
    hooks.append(Clip(ours.network, 0.05))
    plain = ours.shape.build(settings.model, settings.seed)
    adam, clip = torch.optim.Adam(plain.parameters(), lr=settings.lr), Clip(plain, 0.05)
    for batch in ours.train.epoch(0):
        images, labels = batch.images[batch.valid].float() / 255, batch.labels[batch.valid]
        adam.zero_grad()
        cross_entropy(plain(images), labels).backward()
        adam.step()
        clip.step()
    run_epochs(ours, 1)
    run_epochs(bare, 1)
    assert max(parameter.abs().max() for parameter in ours.network.parameters()) <= 0.05
    assert max(parameter.abs().max() for parameter in bare.network.parameters()) > 0.1
    assert_near(ours.network, plain)
