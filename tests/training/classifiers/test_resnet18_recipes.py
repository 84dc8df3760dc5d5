"""The recipes of the Parseval report's networks: their published values, and two steps of each on small images."""

from pathlib import Path

import pytest
import torch
from small_runs import training, write_dataset

from pipelines.settings import load
from training.classifiers.settings import TrainClassifier
from training.models.resnet18 import ConvexSum, Resnet18

RECIPES = {"resnet18_cifar10": 32, "resnet18_cifar100": 32, "resnet18_svhn": 32, "resnet18_tiny_imagenet_200": 64}


def recipe(repository: Path, name: str, *overrides: str) -> TrainClassifier:
    return load(TrainClassifier, repository / "conf" / "train_classifier.yaml", [f"model={name}", *overrides])


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "rates"),
    [
        ("resnet18_cifar10", 100, 100, {0: 0.1, 49: 0.1, 50: 0.001, 99: 0.001}),
        ("resnet18_cifar100", 200, 100, {0: 0.1, 60: 0.02, 120: 0.004, 160: 0.0008, 199: 0.0008}),
        ("resnet18_svhn", 20, 100, {0: 0.1, 4: 0.1, 5: 0.01}),
        ("resnet18_tiny_imagenet_200", 20, 50, {0: 1e-3, 9: 1e-3, 10: 1e-4, 19: 1e-4}),
    ],
)
def test_learning_rates_and_batches_are_the_published_ones(
    repository: Path, name: str, epochs: int, batch_size: int, rates: dict[int, float]
) -> None:
    settings = recipe(repository, name)
    assert (settings.epochs, settings.batch_size, settings.optimizer) == (epochs, batch_size, "sgd")
    assert {epoch: settings.lr_at(epoch / epochs) for epoch in rates} == pytest.approx(rates)
    assert isinstance(settings.model, Resnet18) and settings.model.width == 64


@pytest.mark.parametrize("name", RECIPES)
def test_it_trains(repository: Path, tmp_path: Path, name: str) -> None:
    size_px = RECIPES[name]
    root = write_dataset(tmp_path, size_px=size_px, parts={"train": [[12]], "validation": [[4]], "test": [[4]]})
    small = ["model.width=8", "batch_size=6", "epochs=1", "device=cpu", f"data.root={root}", "augmentation.flips=none"]
    trained = training(recipe(repository, name, *small))
    before = {key: tensor.clone() for key, tensor in trained.network.state_dict().items()}
    for _ in trained.steps():
        pass
    trained.finish_epoch()
    assert all(torch.isfinite(tensor).all() for tensor in trained.network.state_dict().values())
    changed = {key for key, tensor in trained.network.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == set(before) - {"0.mean", "0.std"}
    assert isinstance(trained.network.get_submodule("1.maxpool"), torch.nn.MaxPool2d) == (size_px == 64)


def test_parsevals_step_projects_the_convex_sums(repository: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path, size_px=8, parts={"train": [[12]], "validation": [[4]], "test": [[4]]})
    small = ["model.width=8", "model.convex_sums=true", "parseval={beta: 0.01}", "batch_size=6", "device=cpu"]
    trained = training(recipe(repository, "resnet18_cifar10", *small, "data.size_px=8", f"data.root={root}"))
    sums = [layer for layer in trained.network.modules() if isinstance(layer, ConvexSum)]
    with torch.no_grad():
        for layer, share in zip(sums, (1.5, -0.5, 0.5, 2.0, 0.4, -3.0, 0.5, 0.5), strict=True):
            layer.share.fill_(share)
    next(trained.steps())
    shares = [layer.share.item() for layer in sums]
    assert shares[:2] == [1.0, 0.0] and shares[3] == 1.0 and shares[5] == 0.0
    assert all(0 < shares[place] < 1 for place in (2, 4, 6, 7))
