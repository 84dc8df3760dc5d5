"""The parts of a recipe that came later: moving average, balanced classes, clipping, fresh noise, bfloat16."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from pipelines.settings import decisive_values
from training.augmentation.augmentation import Augmentation
from training.augmentation.fresh_noise import FreshNoise
from training.classifiers.balance import class_counts, class_weights
from training.classifiers.training import ClassifierTraining
from training.loop.ranks import Ranks
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet
from training.streams.stream import Data

SMALL = SignNet(widths=(4, 4, 8, 8, 8))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), size_px=16)


def small(root: Path, **fields: Any) -> ClassifierTraining:
    return training(recipe(root, **{"data": Data(root=str(root), size_px=16), "model": SMALL, **fields}))


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_the_average_is_what_is_validated_and_kept(root: Path) -> None:
    """Of weights and batch norm's statistics after steps 1 and 11, with d = min(0.9^10, u / (u + 10))."""
    averaged = small(root, ema_decay=0.9, epochs=2)
    taken: list[dict[str, torch.Tensor]] = []
    while averaged.epoch < 2:
        taken.extend(copy.deepcopy(dict(averaged.network.state_dict())) for _ in averaged.steps())
        averaged.finish_epoch()
    assert len(taken) == 12
    d = min(0.9**10, 1 / 11)
    kept = averaged.classifier({}).network.state_dict()
    for name in ("1.1.weight", "1.2.running_mean", "1.2.running_var", "1.2.weight"):
        torch.testing.assert_close(kept[name], d * taken[0][name] + (1 - d) * taken[10][name], atol=1e-6, rtol=1e-5)
    assert not torch.equal(kept["1.1.weight"], taken[-1]["1.1.weight"])
    (batch,) = [batch for batch in averaged.validation.epoch(0) if batch.valid.all()][:1]
    with torch.no_grad():
        logits = averaged.classifier({}).network(batch.images.float() / 255)
        others = averaged.network.eval()(batch.images.float() / 255)
    images = torch.cat([batch.images[batch.valid] for batch in averaged.validation.epoch(0)]).float() / 255
    labels = torch.cat([batch.labels[batch.valid] for batch in averaged.validation.epoch(0)])
    with torch.no_grad():
        loss = cross_entropy(averaged.classifier({}).network(images), labels).item()
    assert averaged.metrics["loss/validation"] == pytest.approx(loss, rel=1e-4)
    assert not torch.allclose(logits, others)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_stopped_after_any_step_and_resumed_it_gives_the_same_bits(root: Path, keep: str) -> None:
    fields: dict[str, Any] = {
        "ema_decay": 0.9, "class_balance": 0.5, "max_gradient_norm": 0.5, "keep": keep,
        "augmentation": Augmentation(shear_deg=10, gamma=1, noise=FreshNoise()),
    }  # fmt: skip
    straight = run_epochs(small(root, **fields), 2)
    for steps in (1, 5, 6, 11):
        first = stop_after(small(root, **fields), steps)
        second = small(root, **fields)
        second.load_state(first.state())
        run_epochs(second, 2)
        assert_same(second.network, straight.network)
        assert_same(second.classifier({}).network, straight.classifier({}).network)


def test_weights_of_classes_are_powers_of_their_sizes_with_a_mean_of_one_over_the_images() -> None:
    counts = [10, 40, 50]
    for balance in (0.5, 1.0):
        weights = class_weights(counts, balance).double()
        torch.testing.assert_close(
            (weights @ torch.tensor(counts, dtype=torch.float64)) / 100, torch.tensor(1.0).double()
        )
        assert (weights[0] / weights[1]).item() == pytest.approx(4**balance)
    torch.testing.assert_close(class_weights(counts, 0.0), torch.ones(3))


def test_a_balanced_loss_is_the_weighted_one(root: Path) -> None:
    plain = small(root, augmentation=STILL, class_balance=0.0, model=BaselineCnn())
    counts = np.bincount(torch.cat([batch.labels[batch.valid] for batch in plain.train.epoch(0)]).numpy())
    train = plain.train
    assert class_counts(train)[: len(counts)] == counts.tolist()  # type: ignore[arg-type]
    balanced = ClassifierTraining(
        plain.settings.model_copy(update={"class_balance": 1.0}), plain.shape, plain.ranks, train, plain.validation,
        class_counts=[count or 1 for count in class_counts(train)],  # type: ignore[arg-type]
    )  # fmt: skip
    batch = next(iter(train.epoch(0)))
    with torch.no_grad():
        losses = cross_entropy(plain.network(batch.images.float() / 255), batch.labels, reduction="none")
    weights = class_weights([count or 1 for count in class_counts(train)], 1.0)  # type: ignore[arg-type]
    expected = (losses * weights[batch.labels]).mean().item()
    total, number = balanced.train_on(batch)["loss/train"]
    assert total.item() / number == pytest.approx(expected, rel=1e-4)


def test_a_class_without_images_cannot_be_balanced() -> None:
    with pytest.raises(SettingsError, match=r"class_balance=0.5: there are no training images of the classes \[1, 3\]"):
        class_weights([5, 0, 7, 0], 0.5)


def test_a_long_gradient_is_scaled_down(root: Path) -> None:
    free, held = small(root, augmentation=STILL), small(root, augmentation=STILL, max_gradient_norm=0.01)
    batch = next(iter(free.train.epoch(0)))
    free.train_on(batch)
    held.train_on(batch)
    (norm, clipped) = (found.learners["classifier"].gradient_norm() for found in (free, held))
    assert norm is not None and norm > 0.1
    assert clipped == pytest.approx(0.01, rel=1e-3)
    for one, other in zip(free.network.parameters(), held.network.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(other.grad, one.grad * (0.01 / norm), atol=1e-6, rtol=1e-3)


def test_noise_changes_training_but_not_validation(root: Path) -> None:
    clean = small(root, augmentation=STILL)
    noisy = small(root, augmentation=STILL.model_copy(update={"noise": FreshNoise()}))
    batch = next(iter(clean.train.epoch(0)))
    seen: list[torch.Tensor] = []
    noisy.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    noisy.train_on(batch)
    images = batch.images.float() / 255
    assert torch.equal(seen[0][:8], images[:8])
    assert not torch.equal(seen[0][8:], images[8:])
    seen.clear()
    noisy._validate()
    given = torch.cat([each.images for each in noisy.validation.epoch(0)]).float() / 255
    assert torch.equal(torch.cat(seen), given)


def test_bfloat16_gives_nearly_the_losses_of_float32(root: Path) -> None:
    exact = run_epochs(small(root, augmentation=STILL, lr=0.001), 1)
    train, validation = exact.train, exact.validation
    ranks = Ranks(torch.device("cpu"), dtype=torch.bfloat16)
    rough = run_epochs(ClassifierTraining(exact.settings, exact.shape, ranks, train, validation), 1)
    assert rough.metrics["loss/train"] == pytest.approx(exact.metrics["loss/train"], rel=0.02)
    assert rough.metrics["loss/train"] != exact.metrics["loss/train"]


def test_the_new_keys_leave_older_fingerprints_as_they_were(root: Path) -> None:
    plain = recipe(root)
    assert not {"ema_decay", "class_balance", "max_gradient_norm"} & decisive_values(plain).keys()
    assert not {"shear_deg", "gamma", "noise"} & decisive_values(plain)["augmentation"].keys()
    first = plain.fingerprint({}, 1)
    for key, value in {"ema_decay": 0.9, "class_balance": 0.5, "max_gradient_norm": 1.0}.items():
        assert plain.model_copy(update={key: value}).fingerprint({}, 1) != first
