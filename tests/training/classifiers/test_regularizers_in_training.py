"""Parseval, smoothness and adversarial images in a training: beside a plain loop, and when it is killed and resumed."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from training.attacks.labelled_images import AttackError
from training.classifiers.settings import TrainClassifier
from training.classifiers.smoothness_figure import smoothness_curves
from training.models.aol_cnn import AolCnn
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet
from training.objectives import Adversarial, Trades
from training.regularizers import Parseval, Smoothness
from training.regularizers.smoothness import label_smoothness
from training.streams.stream import to_unit_floats

ROBUST: dict[str, Any] = {
    "objective": Adversarial(), "parseval": Parseval(beta=0.02, rows=0.5), "smoothness": Smoothness(gamma=0.1),
}  # fmt: skip
PLAIN: dict[str, Any] = {"augmentation": STILL, "schedule": "constant", "lr": 0.001, "model": BaselineCnn()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def assert_near(network: nn.Module, plain: nn.Module) -> None:
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, atol=1e-4, rtol=1e-3)


def test_parseval_and_smoothness_are_what_a_plain_loop_does(root: Path) -> None:
    settings = recipe(root, parseval=Parseval(beta=0.05), smoothness=Smoothness(gamma=0.2, power=1), **PLAIN)
    ours = training(settings)
    plain = ours.shape.build(settings.model, settings.seed)
    adam = torch.optim.Adam(plain.parameters(), lr=settings.lr)
    outputs: list[torch.Tensor] = []
    for layer in plain.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    penalties = []
    for batch in ours.train.epoch(0):
        valid = batch.valid
        images, labels = to_unit_floats(batch.images, torch.device("cpu"))[valid], batch.labels[valid]
        outputs.clear()
        loss = cross_entropy(plain(images), labels)
        signal = nn.functional.one_hot(labels, 43).float()
        sigmas = [label_smoothness(output.flatten(1), signal, 1) for output in outputs]
        penalty = 0.2 * sum(abs(b - a) for a, b in pairwise(sigmas)) / (len(sigmas) - 1)
        adam.zero_grad()
        (loss + penalty).backward()
        adam.step()
        penalties.append(float(penalty.detach()) * len(images))  # type: ignore[union-attr]
        with torch.no_grad():
            for layer in plain.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    w = layer.weight.flatten(1)
                    layer.weight.copy_((1.05 * w - 0.05 * w @ w.t() @ w).view_as(layer.weight))
    run_epochs(ours, 1)
    assert_near(ours.network, plain)
    assert ours.metrics["loss/smoothness/train"] == pytest.approx(sum(penalties) / ours.train.images, rel=1e-3)
    assert {name for name in ours.metrics if name.startswith("smoothness/")} == {
        "smoothness/1.1", "smoothness/1.4", "smoothness/1.7", "smoothness/1.11",
    }  # fmt: skip
    assert ours.metrics["distance_from_parseval/1.0"] >= 0 and ours.metrics["operator_norm/product"] > 0


def test_parseval_brings_weights_nearer_to_orthonormal_rows(root: Path) -> None:
    with_it, without = (
        run_epochs(training(recipe(root, parseval=parseval, **PLAIN)), 2) for parseval in (Parseval(beta=0.1), None)
    )
    distances = []
    for one in (with_it, without):
        weight = one.network[1][10].weight.detach()  # the dense layer of 128 units on 64 values
        distances.append(float((weight.t() @ weight - torch.eye(weight.shape[1])).norm()))
    assert distances[0] < 0.5 * distances[1]
    assert "operator_norm/product" not in without.metrics


@pytest.mark.parametrize("model", [BaselineCnn(dropout=0.25), SignNet(widths=(4, 4, 4, 4, 4))])
def test_all_of_it_resumes_bit_for_bit(root: Path, model: BaselineCnn | SignNet, tmp_path: Path) -> None:
    """Radii, random rows and crafted images follow from (seed, epoch, step)."""
    if model.kind == "sign_net":
        root = write_dataset(tmp_path, size_px=16, parts={"train": [[24]], "validation": [[10]], "test": [[10]]})
    settings = recipe(root, model=model, **ROBUST)
    if model.kind == "sign_net":
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"size_px": 16})})
    whole = run_epochs(training(settings), 2)
    resumed = training(settings)
    resumed.load_state(stop_after(training(settings), 1).state())
    run_epochs(resumed, 2)
    for one, other in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert whole.smoothed.history == resumed.smoothed.history and len(whole.smoothed.history) == 2
    assert whole.metrics["loss/adversarial/train"] == resumed.metrics["loss/adversarial/train"]


def test_the_mean_norm_is_that_of_all_training_images(root: Path) -> None:
    to_train = training(recipe(root, **ROBUST))
    norms = [
        float(image.norm())
        for batch in to_train.train.epoch(0)
        for image in to_unit_floats(batch.images[batch.valid], torch.device("cpu"))
    ]
    assert to_train._mean_norm == pytest.approx(sum(norms) / len(norms))


def test_trades_learns_and_logs_its_divergence(root: Path) -> None:
    ours = run_epochs(training(recipe(root, objective=Trades(steps=2), **PLAIN)), 1)
    assert ours.metrics["loss/divergence/train"] > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"smoothness": Smoothness(), "model": AolCnn()}, "compares consecutive layers, found \\[\\]"),
        ({"smoothness": Smoothness(layers=("1.99", "1.1"))}, "has no \\['1.99'\\]"),
        ({"smoothness": Smoothness(), "batch_size": 1}, "batch_size=1"),
    ],
)
def test_what_cannot_be_compared_is_refused(root: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        training(recipe(root, **fields))


def test_radii_that_are_not_finite_are_refused(root: Path) -> None:
    to_train = training(recipe(root, objective=Adversarial()))
    to_train._mean_norm = float("nan")
    with pytest.raises(AttackError, match="radii must be finite"):
        next(to_train.steps())


def test_a_run_without_them_has_the_fingerprint_that_it_had(root: Path) -> None:
    without = recipe(root)
    assert without.fingerprint({}, 1) == TrainClassifier.fingerprint(without, {}, 1)
    digests = {recipe(root, **{name: value}).fingerprint({}, 1) for name, value in ROBUST.items()}
    assert len(digests | {without.fingerprint({}, 1)}) == 4


def test_the_figure_shows_the_curves_of_chosen_epochs() -> None:
    history = [{"one": epoch + 1.0, "two": 2.0, "three": 3.0} for epoch in range(9)]
    figure = smoothness_curves(history, "a network")
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == [f"epoch {epoch}" for epoch in (1, 3, 5, 7, 9)]
    assert list(axis.lines[1].get_ydata()) == [3.0, 2.0, 3.0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["one", "two", "three"]
