import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.classifiers.trained import Classifier, Shape, weights_digest
from training.loop.checkpoints import Checkpoint, CheckpointError
from training.models.baseline_cnn import BaselineCnn

CPU = torch.device("cpu")
SHAPE = Shape(28, 43, (0.3, 0.4, 0.5), (0.2, 0.3, 0.4))


def made(seed: int = 3) -> Classifier:
    model = BaselineCnn(dropout=0.25)
    return Classifier(SHAPE.build(model, seed), model, SHAPE, {"seed": seed})


def test_a_classifier_read_from_a_file_equals_the_written_one(tmp_path: Path) -> None:
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
    with pytest.raises(CheckpointError, match=r"gan.pt: kind is generator, expected classifier"):
        Classifier.read(tmp_path / "gan.pt", CPU)


def test_weights_of_another_network_and_changed_weights_are_refused(tmp_path: Path) -> None:
    made().write(tmp_path / "model.pt")
    found = Checkpoint.read(tmp_path / "model.pt", CPU)
    Checkpoint({**found.settings, "shape": {**found.settings["shape"], "size_px": 40}}, found.state).write(
        tmp_path / "resized.pt"
    )
    with pytest.raises(CheckpointError, match=r"resized.pt: does not fit this version's network"):
        Classifier.read(tmp_path / "resized.pt", CPU)
    Checkpoint({**found.settings, "model": {"kind": "resnet500"}}, found.state).write(tmp_path / "unknown.pt")
    with pytest.raises(CheckpointError, match=r"unknown.pt: .*expected one of aol_cnn, baseline_cnn"):
        Classifier.read(tmp_path / "unknown.pt", CPU)
    changed = {name: tensor + 1e-3 for name, tensor in found.state["network"].items()}
    Checkpoint(found.settings, {"network": changed}).write(tmp_path / "changed.pt")
    with pytest.raises(CheckpointError, match=r"changed.pt: its weights do not match its digest"):
        Classifier.read(tmp_path / "changed.pt", CPU)


def damaged_pickle(whole: bytes, random: np.random.Generator) -> bytes:
    """The same archive with one to three other bytes in the pickle, and a checksum that agrees."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(into, "w") as new:
        for info in old.infolist():
            content = bytearray(old.read(info))
            if info.filename.endswith("data.pkl"):
                for place in random.integers(0, len(content), random.integers(1, 4)):
                    content[place] = random.integers(0, 256)
            new.writestr(info.filename, bytes(content))
    return into.getvalue()


def test_every_damage_of_a_model_file_raises_a_checkpoint_error(tmp_path: Path) -> None:
    """Whatever the pickle says: the same network, or one CheckpointError of one line that names the file."""
    path, written = tmp_path / "model.pt", made()
    written.write(path)
    whole, random, refused = path.read_bytes(), np.random.default_rng(12), 0
    for case in range(300):
        damaged = whole[: random.integers(0, len(whole))] if case % 10 == 0 else damaged_pickle(whole, random)
        path.write_bytes(damaged)
        try:
            assert Classifier.read(path, CPU).digest == written.digest
        except CheckpointError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1, case
    assert refused > 200


@pytest.mark.parametrize(
    "change",
    [
        {"digest": ...}, {"about": ...}, {"model": ...}, {"shape": ...}, {"about": 5}, {"about": {"settings": 5}},
        {"about": {"settings": {"data": []}}}, {"about": {"datasets": 1}}, {"model": 7}, {"shape": []},
        {"shape": {**vars(SHAPE), "size_px": "28"}}, {"shape": {**vars(SHAPE), "num_classes": 10**9}},
        {"shape": {**vars(SHAPE), "num_classes": 42}}, {"shape": {**vars(SHAPE), "mean": (0.3, 0.4)}},
        {"shape": {**vars(SHAPE), "std": (0.2, 0.3, float("nan"))}}, {"shape": {**vars(SHAPE), "more": 1}},
    ],
)  # fmt: skip
def test_a_model_that_lacks_something_or_has_another_type_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "model.pt"
    made().write(path)
    found = Checkpoint.read(path, CPU)
    settings = {name: value for name, value in {**found.settings, **change}.items() if value is not ...}
    Checkpoint(settings, found.state).write(path)
    with pytest.raises(CheckpointError, match=r"model\.pt: does not fit this version's network: ") as error:
        Classifier.read(path, CPU)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "state", [{}, {"network": None}, {"network": {}}, {"network": {"0.mean": 1}}, {"network": [1]}]
)
def test_a_model_with_other_weights_is_refused(tmp_path: Path, state: dict[str, object]) -> None:
    path = tmp_path / "model.pt"
    made().write(path)
    Checkpoint(Checkpoint.read(path, CPU).settings, state).write(path)
    with pytest.raises(CheckpointError, match=r"model\.pt: does not fit this version's network: "):
        Classifier.read(path, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_name(tmp_path: Path, value: float) -> None:
    broken = made()
    name, weights = list(broken.network.named_parameters())[1]
    with torch.no_grad():
        weights.view(-1)[0] = value
    broken.write(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=rf"model\.pt: {name} has NaN or infinite values"):
        Classifier.read(tmp_path / "model.pt", CPU)


def test_the_shape_of_a_mixture_has_the_mean_and_std_of_all_its_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels = {"clean": rng.random((1000, 3)), "noisy": 0.3 + 0.2 * rng.random((3000, 3))}
    variants = {
        name: SimpleNamespace(
            manifest=SimpleNamespace(
                statistics={"train": SimpleNamespace(channel_mean=values.mean(0), channel_std=values.std(0))},
            )
        )
        for name, values in pixels.items()
    }
    batches = SimpleNamespace(
        source=SimpleNamespace(size_px=28, variants=variants, card=SimpleNamespace(num_classes=7)),
        weights={"clean": 0.25, "noisy": 0.75},
    )
    shape = Shape.of(batches)  # type: ignore[arg-type]
    together = np.concatenate(list(pixels.values()))
    assert (shape.size_px, shape.num_classes) == (28, 7)
    np.testing.assert_allclose(shape.mean, together.mean(0))
    np.testing.assert_allclose(shape.std, together.std(0))
