from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.checkpoints import Checkpoint, CheckpointError
from training.models.baseline_cnn import BaselineCnn
from training.trained import Classifier, Shape, weights_digest

CPU = torch.device("cpu")
SHAPE = Shape(28, 43, (0.3, 0.4, 0.5), (0.2, 0.3, 0.4))


def made(seed: int = 3) -> Classifier:
    model = BaselineCnn(dropout=0.25)
    return Classifier(SHAPE.build(model, seed), model, SHAPE, {"seed": seed})


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = made()
    written.write(tmp_path / "model.pt")
    read = Classifier.read(tmp_path / "model.pt", CPU)
    assert (read.model, read.shape, read.about, read.digest) == (written.model, SHAPE, {"seed": 3}, written.digest)
    assert not read.network.training
    images = torch.rand(5, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read.network(images), written.network.eval()(images))


def test_the_digest_is_that_of_the_weights_alone() -> None:
    assert made(1).digest == made(1).digest != made(2).digest
    network = made().network
    before = weights_digest(network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1e-6
    assert weights_digest(network) != before
    assert weights_digest(made().network.to(memory_format=torch.channels_last)) == before  # type: ignore[call-overload]


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    Checkpoint({"kind": "generator"}, {}).write(tmp_path / "gan.pt")
    with pytest.raises(CheckpointError, match=r"gan.pt: is of kind generator, expected classifier"):
        Classifier.read(tmp_path / "gan.pt", CPU)


def test_weights_of_another_network_and_changed_weights_are_refused(tmp_path: Path) -> None:
    made().write(tmp_path / "model.pt")
    found = Checkpoint.read(tmp_path / "model.pt", CPU)
    Checkpoint({**found.settings, "shape": {**found.settings["shape"], "size_px": 40}}, found.state).write(
        tmp_path / "resized.pt"
    )
    with pytest.raises(CheckpointError, match=r"resized.pt: its weights do not fit"):
        Classifier.read(tmp_path / "resized.pt", CPU)
    Checkpoint({**found.settings, "model": {"kind": "resnet500"}}, found.state).write(tmp_path / "unknown.pt")
    with pytest.raises(CheckpointError, match=r"unknown.pt: .*expected one of baseline_cnn"):
        Classifier.read(tmp_path / "unknown.pt", CPU)
    changed = {name: tensor + 1e-3 for name, tensor in found.state["network"].items()}
    Checkpoint(found.settings, {"network": changed}).write(tmp_path / "changed.pt")
    with pytest.raises(CheckpointError, match=r"changed.pt: its weights are not those"):
        Classifier.read(tmp_path / "changed.pt", CPU)


def test_the_shape_of_a_mixture_has_the_mean_and_std_of_all_its_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels = {"clean": rng.random((1000, 3)), "noisy": 0.3 + 0.2 * rng.random((3000, 3))}
    variants = {
        name: SimpleNamespace(
            manifest=SimpleNamespace(
                counts_per_class={"train": {0: 1}, "test": {6: 1}, "validation": {}},
                statistics={"train": SimpleNamespace(channel_mean=values.mean(0), channel_std=values.std(0))},
            )
        )
        for name, values in pixels.items()
    }
    batches = SimpleNamespace(
        source=SimpleNamespace(size_px=28, variants=variants), weights={"clean": 0.25, "noisy": 0.75}
    )
    shape = Shape.of(batches)  # type: ignore[arg-type]
    together = np.concatenate(list(pixels.values()))
    assert (shape.size_px, shape.num_classes) == (28, 7)
    np.testing.assert_allclose(shape.mean, together.mean(0))
    np.testing.assert_allclose(shape.std, together.std(0))
