"""Recipes give the weights that they gave when tests/golden/training.json was written, whatever has been moved since:
what is exact on every processor is compared exactly, the arithmetic of floats to a tolerance."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_gans import gan_recipe, gan_training, gan_weights, run_epochs
from small_runs import training, write_dataset

from pipelines.settings import load
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import weights_digest
from training.loop.tracked_training import variant_digests

GOLDEN = Path(__file__).parents[2] / "golden" / "training.json"
EPOCHS = 2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def order_digest(batches: Any) -> str:
    ids = [batch.image_ids for epoch in range(EPOCHS) for batch in batches.epoch(epoch)]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def norms(weights: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(tensor.double().norm()) for name, tensor in weights.items()}


def compare(found: dict[str, Any], name: str) -> None:
    expected = json.loads(GOLDEN.read_text())[name]
    assert found["exact"] == expected["exact"]
    for fact in ("losses", "norms"):
        assert found[fact].keys() == expected[fact].keys()
        values = [np.array(list(facts[fact].values())) for facts in (found, expected)]
        np.testing.assert_allclose(*values, rtol=2e-3, atol=1e-4, err_msg=fact)


def test_of_a_classifier(root: Path, repository: Path) -> None:
    settings = load(
        TrainClassifier, repository / "conf" / "train_classifier.yaml",
        [f"data.root={root}", "data.size_px=8", f"epochs={EPOCHS}", "batch_size=16", f"runs_root={root}/runs"],
    )  # fmt: skip
    trained = training(settings)
    exact = {
        "fingerprint": trained.settings.fingerprint(variant_digests(trained.train.source), 1),
        "initial_weights": weights_digest(trained.network[1]),  # without mean and std of the images
        "order": order_digest(trained.train),
    }
    losses: dict[str, float] = {}
    while trained.epoch < EPOCHS:
        for _ in trained.steps():
            pass
        trained.finish_epoch()
        losses |= {f"{trained.epoch} {name}": value for name, value in trained.metrics.items() if "loss" in name}
    compare({"exact": exact, "losses": losses, "norms": norms(trained.network.state_dict())}, "classifier")


def test_of_a_gan(root: Path) -> None:
    settings = gan_recipe(root)
    trained = gan_training(settings)
    exact = {
        "fingerprint": settings.fingerprint(variant_digests(trained.train.source), 1),
        "order": order_digest(trained.train),
    }
    metrics = run_epochs(trained, EPOCHS)
    losses = {
        f"{epoch} {name}": value
        for epoch, those in enumerate(metrics)
        for name, value in those.items()
        if name.startswith("loss/")
    }
    compare({"exact": exact, "losses": losses, "norms": norms(gan_weights(trained))}, "gan")
