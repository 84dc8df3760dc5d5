"""The optimizer and its learning rate over the steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from pipelines.settings import load
from training.classifiers.optimization import Optimization
from training.classifiers.settings import TrainClassifier
from training.models.baseline_cnn import BaselineCnn

SGD: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "schedule": "steps", "lr_steps": (1,)}


@pytest.fixture(scope="module")
def config(repository: Path) -> Path:
    return repository / "conf" / "train_classifier.yaml"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def test_one_cycle_falls_as_torchs_cosine(config: Path) -> None:
    settings = load(TrainClassifier, config, ["schedule=one_cycle", "warmup_fraction=0.0", "lr=0.3"])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert settings.lr_at(step / 50) == pytest.approx(cosine.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        cosine.step()


@given(progress=st.floats(0, 1, exclude_max=True), warmup=st.floats(0, 0.9))
def test_one_cycle_rises_to_lr_and_falls_to_zero(progress: float, warmup: float) -> None:
    settings = TrainClassifier.model_construct(lr=0.3, schedule="one_cycle", warmup_fraction=warmup)
    assert 0 <= settings.lr_at(progress) <= 0.3
    assert settings.lr_at(warmup) == pytest.approx(0.3)
    assert settings.lr_at(1 - 1e-9) == pytest.approx(0, abs=1e-6)


@given(
    epochs=st.integers(1, 60), steps=st.integers(1, 40), factor=st.floats(0.05, 2),
    lr_steps=st.sets(st.integers(1, 70), min_size=1, max_size=4),
)  # fmt: skip
def test_steps_are_those_of_torchs_schedule(epochs: int, steps: int, factor: float, lr_steps: set[int]) -> None:
    """MultiStepLR, whose step is at the end of each epoch."""
    settings = Optimization(
        epochs=epochs, lr=0.3, schedule="steps", lr_steps=tuple(sorted(lr_steps)), lr_step_factor=factor
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    expected = torch.optim.lr_scheduler.MultiStepLR(optimizer, sorted(lr_steps), factor)
    for epoch in range(epochs):
        for step in (0, steps - 1):
            progress = (epoch + step / steps) / epochs  # of Training.progress
            assert settings.lr_at(progress) == pytest.approx(expected.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        expected.step()


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_step_written_by_hand(root: Path, nesterov: bool) -> None:
    """v ← 0.9 v + g, w ← w − lr v, or w ← w − lr (g + 0.9 v) of Nesterov, with 0.01 w in g; lr falls after an epoch."""
    settings = recipe(root, model=BaselineCnn(), augmentation=STILL, **SGD, nesterov=nesterov)
    ours = run_epochs(training(settings), 2)
    plain = ours.shape.build(settings.model, settings.seed)
    weights = list(plain.parameters())
    velocities = [torch.zeros_like(weight) for weight in weights]
    for epoch in range(2):
        for batch in ours.train.epoch(epoch):
            images, labels = batch.images[batch.valid].float() / 255, batch.labels[batch.valid]
            gradients = torch.autograd.grad(cross_entropy(plain(images), labels), weights)
            with torch.no_grad():
                for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
                    decayed = gradient + 0.01 * weight
                    velocity.mul_(0.9).add_(decayed)
                    weight.sub_((0.01, 0.001)[epoch] * (decayed + 0.9 * velocity if nesterov else velocity))
    assert ours.metrics["lr"] == pytest.approx(0.001)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(ours.network.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)


def test_with_sgd_too_a_resumed_training_has_the_same_bits(root: Path) -> None:
    settings = recipe(root, **SGD, nesterov=True)
    straight = run_epochs(training(settings), 2).network.state_dict()
    for steps in (1, 5, 6, 11):
        resumed = training(settings)
        resumed.load_state(stop_after(training(settings), steps).state())
        again = run_epochs(resumed, 2).network.state_dict()
        assert all(torch.equal(again[name], tensor) for name, tensor in straight.items()), steps


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["momentum=0.9"], "momentum: needs optimizer=sgd"),
        (["optimizer=sgd", "nesterov=true"], "nesterov: needs optimizer=sgd and a momentum"),
        (["schedule=steps"], "lr_steps: belongs to schedule=steps"),
        (["lr_steps=[2]"], "lr_steps: belongs to schedule=steps"),
        (["schedule=steps", "lr_steps=[4,2]"], r"rising numbers of epochs from 1, got \[4, 2\]"),
        (["schedule=steps", "lr_steps=[0]"], r"rising numbers of epochs from 1, got \[0\]"),
        (["optimizer=sgd", "momentum=1.0"], "momentum: .*less than 1"),
        (["optimizer=rmsprop"], "optimizer: must be adamw or sgd"),
    ],
)
def test_settings_without_effect_are_refused(config: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(TrainClassifier, config, overrides)
