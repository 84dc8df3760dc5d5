from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from small_datasets import Small
from small_runs import STILL, recipe, stop_after, training, write_dataset
from torch import nn
from torch.nn.functional import cross_entropy

from training.augmentation.augmentation import Augmentation
from training.classifiers.training import ClassifierTraining
from training.loop.training import DivergedError
from training.models import Model
from training.models.baseline_cnn import BaselineCnn
from training.objectives import Losses, Objective, ObjectiveInputs
from training.streams.stream import Data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), variants=("clean", "gaussian-max"))


def run(to_train: ClassifierTraining, epochs: int) -> list[dict[str, float]]:
    metrics = []
    while to_train.epoch < epochs:
        for _ in to_train.steps():
            pass
        to_train.finish_epoch()
        metrics.append(to_train.metrics)
    return metrics


def weights(of: ClassifierTraining) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.network.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_it_gives_the_weights_of_a_plain_loop(root: Path) -> None:
    """Adam as torch has it, on the same batches, with the mean loss over the images that are not filling."""
    settings = recipe(root, model=BaselineCnn(), augmentation=STILL, schedule="constant", label_smoothing=0.1)
    ours = training(settings)
    metrics = run(ours, 2)
    plain = ours.shape.build(settings.model, settings.seed)
    adam = torch.optim.Adam(plain.parameters(), lr=settings.lr)
    for epoch in range(2):
        losses, correct = [], 0
        for batch in ours.train.epoch(epoch):
            images, labels = batch.images[batch.valid].float() / 255, batch.labels[batch.valid]
            logits = plain(images)
            loss = cross_entropy(logits, labels, label_smoothing=0.1)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses += [loss.item()] * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
        assert len(losses) == 94
        assert metrics[epoch]["loss/train"] == pytest.approx(np.mean(losses), rel=1e-4)
        assert metrics[epoch]["accuracy/train"] == pytest.approx(correct / 94, abs=0.03)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(ours.network.state_dict()[name], tensor, atol=2e-3, rtol=2e-3)


class WithBatchNorm(Model):
    kind: ClassVar[str] = "with_batch_norm"

    def layers(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, num_classes))


def test_padding_never_enters_batch_statistics(root: Path) -> None:
    """94 images in batches of 31: the last one has one image, and another one of its own batch for the variance."""
    seen: list[int] = []
    model = WithBatchNorm()
    small = training(recipe(root, model=model, batch_size=16))
    small.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for _ in small.steps():
        pass
    assert seen == [16] * 5 + [14]
    seen.clear()
    single = training(recipe(root, model=model, batch_size=31))
    single.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for _ in single.steps():
        pass
    single.finish_epoch()
    assert seen[:4] == [31, 31, 31, 2]
    assert np.isfinite(single.metrics["loss/train"])


class TwoLosses(Objective):
    """Asks for the features of a layer and adds a batch of its own, as robust objectives do."""

    kind: ClassVar[str] = "two_losses"
    parts: ClassVar[tuple[str, ...]] = ("darker",)
    layers: ClassVar[tuple[str, ...]] = ("1.0",)

    def __call__(self, given: ObjectiveInputs) -> Losses:
        logits = given.logits_of(torch.cat([given.images, given.images / 2]))
        assert given.features["1.0"].shape == (2 * len(given.images), 16, 8, 8)
        bright, dark = logits.chunk(2)
        darker = given.loss(dark, given.labels)
        return Losses(given.loss(bright, given.labels) + darker, bright, {"darker": darker})


def test_an_objective_may_look_at_layers_and_add_a_batch_and_hooks_run_after_each_step(root: Path) -> None:
    class Counts:
        steps = 0

        def step(self) -> None:
            self.steps += 1

    counts = Counts()
    settings = recipe(root, model=BaselineCnn(), augmentation=STILL, objective=TwoLosses())
    plain = training(settings)
    to_train = ClassifierTraining(settings, plain.shape, plain.ranks, plain.train, plain.validation, hooks=[counts])
    first = next(iter(plain.train.epoch(0)))
    images = first.images.float() / 255
    with torch.no_grad():
        dark = cross_entropy(to_train.network(images / 2), first.labels).item()
        both = dark + cross_entropy(to_train.network(images), first.labels).item()
    sums = to_train.train_on(first)
    assert sums["loss/darker/train"][0].item() / 16 == pytest.approx(dark, rel=1e-4)
    assert sums["loss/train"][0].item() / 16 == pytest.approx(both, rel=1e-4)
    assert counts.steps == 1
    assert not to_train._features


def test_it_memorizes_a_small_training_set(root: Path) -> None:
    still = training(recipe(root, model=BaselineCnn(), augmentation=STILL, lr=0.005, epochs=30))
    metrics = run(still, 30)
    assert metrics[-1]["accuracy/train"] > 0.95
    assert metrics[-1]["loss/train"] < metrics[0]["loss/train"] / 4


def test_validation_is_of_all_validation_images_without_dropout_or_augmentation(root: Path) -> None:
    trained = training(recipe(root))
    (metrics,) = run(trained, 1)
    images = torch.cat([batch.images[batch.valid] for batch in trained.validation.epoch(5)])
    labels = torch.cat([batch.labels[batch.valid] for batch in trained.validation.epoch(5)])
    assert len(labels) == 20
    with torch.no_grad():
        logits = trained.network.eval()(images.float() / 255)
    assert metrics["loss/validation"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert metrics["accuracy/validation"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())


@pytest.mark.parametrize("cache", ["none", "host"])
def test_stopped_after_any_step_and_resumed_it_gives_the_same_bits(root: Path, cache: str) -> None:
    mixture = {"clean": 0.5, "gaussian-max": 0.5}
    settings = recipe(root, cache=cache, keep="best", data=Data(root=str(root), size_px=8, mixture=mixture))
    straight = training(settings)
    expected = run(straight, 2)
    for steps in range(1, 12):
        first = stop_after(training(settings), steps)
        second = training(settings)
        second.load_state(first.state())
        run(second, 2)
        assert_equal(weights(second), weights(straight))
        assert_equal(
            dict(second.classifier({}).network.state_dict()), dict(straight.classifier({}).network.state_dict())
        )
        for name in ("loss/train", "accuracy/train", "loss/validation", "accuracy/validation", "lr"):
            assert second.metrics[name] == expected[-1][name], (steps, name)


def test_another_seed_gives_other_weights_and_leaves_torchs_own_generator_alone(root: Path) -> None:
    before = torch.get_rng_state()
    one, other = training(recipe(root)), training(recipe(root, seed=4))
    run(one, 1)
    run(other, 1)
    assert not torch.equal(one.network.state_dict()["1.0.weight"], other.network.state_dict()["1.0.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_of_the_best_epoch_are_kept_if_asked_for(root: Path) -> None:
    settings = recipe(root, keep="best", epochs=4, schedule="constant", lr=0.02)
    trained = training(settings)
    seen = []
    while trained.epoch < 4:
        for _ in trained.steps():
            pass
        trained.finish_epoch()
        seen.append((trained.metrics["accuracy/validation"], weights(trained)))
    best = max(range(4), key=lambda epoch: seen[epoch][0])  # the first of equals
    assert trained.best is not None and trained.best.epoch == best + 1
    assert_equal(dict(trained.classifier({}).network.state_dict()), seen[best][1])


def test_a_loss_that_is_not_finite_raises_an_error_that_names_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream refuses such pixels, so they are let through here."""
    monkeypatch.setattr("training.streams.row_groups.check_rows", lambda *_: None)

    class WithHole(Small):
        def image(self, variant: str, image_id: str) -> np.ndarray:
            pixels = super().image(variant, image_id)
            if image_id == "train/00007":
                pixels[2, 3, 1] = np.nan
            return pixels

    WithHole({"train": [[94]], "validation": [[20]]}, size_px=8, pixel_dtype="float32").write(tmp_path)
    broken = training(recipe(tmp_path, augmentation=Augmentation(flips="none")))
    with pytest.raises(DivergedError, match=r"loss/train is nan in epoch 1 on the batch of (train/\d+, )*train/00007"):
        run(broken, 1)


def test_the_error_suggests_a_lower_learning_rate(root: Path) -> None:
    with pytest.raises(DivergedError, match=r"lower lr \(it is 1e\+30\)"):
        run(training(recipe(root, lr=1e30, schedule="constant", epochs=20)), 20)
