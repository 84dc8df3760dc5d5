"""Distillation beside its formula in NumPy, in a training, and with teachers that do not fit."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from training.classifiers.run import TrackedClassifier
from training.classifiers.trained import Classifier
from training.classifiers.training import ClassifierTraining
from training.loop.checkpoints import CheckpointError
from training.loop.ranks import Ranks
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet
from training.objectives import Distillation, ObjectiveInputs
from training.streams.stream import Data

SMALL = SignNet(widths=(4, 4, 8, 8, 8))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), size_px=16)


@pytest.fixture(scope="module")
def teachers(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two networks that were trained for an epoch."""
    folder = tmp_path_factory.mktemp("teachers")
    for seed in (1, 2):
        trained = run_epochs(small(root, model=BaselineCnn(), seed=seed), 1)
        trained.classifier(about(trained)).write(folder / f"{seed}.pt")
    return folder / "1.pt", folder / "2.pt"


def about(of: ClassifierTraining) -> dict[str, Any]:
    return {"settings": {"data": {"geometry": of.settings.data.geometry}}}


def small(root: Path, **fields: Any) -> ClassifierTraining:
    return training(recipe(root, **{"data": Data(root=str(root), size_px=16), "model": SMALL, **fields}))


def numbers(seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(6, 5, generator=generator) * 4


@pytest.mark.parametrize(("temperature", "hard_weight", "count"), [(4.0, 0.1, 1), (2.0, 0.5, 3), (1.0, 0.0, 2)])
def test_it_is_hintons_formula_with_the_teachers_mean(temperature: float, hard_weight: float, count: int) -> None:
    made = numbers(0)
    student, *of_teachers = (next(made) for _ in range(count + 1))
    labels, images = torch.arange(6) % 5, torch.zeros(6, 3, 4, 4)
    loss = partial(cross_entropy, reduction="none")
    called = [lambda _, logits=logits: logits for logits in of_teachers]
    step = ObjectiveInputs(
        torch.nn.Identity(), lambda _: student, loss, images, labels, [], np.random.default_rng(0), {}, 0, 0, 0, called  # type: ignore[arg-type]
    )  # fmt: skip
    losses = Distillation(temperature=temperature, hard_weight=hard_weight)(step)
    wanted = np.mean([softmax(logits.double().numpy() / temperature, axis=1) for logits in of_teachers], axis=0)
    own = softmax(student.double().numpy() / temperature, axis=1)
    apart = temperature**2 * (wanted * np.log(wanted / own)).sum(1)
    hard = -np.log(softmax(student.double().numpy(), axis=1)[np.arange(6), labels])
    np.testing.assert_allclose(losses.total, hard_weight * hard + (1 - hard_weight) * apart, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(losses.parts["teachers"], apart, rtol=1e-4, atol=1e-5)
    assert torch.equal(losses.logits, student)


def test_a_student_comes_nearer_to_its_teachers_and_leaves_them_as_they_are(
    root: Path, teachers: tuple[Path, Path]
) -> None:
    objective = Distillation(teachers=teachers, hard_weight=0.0)
    learns = small(root, objective=objective, augmentation=STILL, lr=0.003, epochs=6)
    before = [teacher.digest for teacher in learns.teachers]
    first = run_epochs(learns, 1).metrics["loss/teachers/train"]
    assert run_epochs(learns, 6).metrics["loss/teachers/train"] < 0.7 * first
    assert [teacher.digest for teacher in learns.teachers] == before
    assert not any(teacher.network.training for teacher in learns.teachers)


@pytest.mark.parametrize("steps", [1, 6, 9])
def test_it_resumes_bit_exactly(root: Path, teachers: tuple[Path, Path], steps: int) -> None:
    objective = Distillation(teachers=teachers)
    straight = run_epochs(small(root, objective=objective), 2)
    first = stop_after(small(root, objective=objective), steps)
    second = small(root, objective=objective)
    second.load_state(first.state())
    run_epochs(second, 2)
    for one, other in zip(straight.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_run_is_identified_by_its_teachers_weights_and_not_by_where_they_are(
    root: Path, teachers: tuple[Path, Path], tmp_path: Path
) -> None:
    moved = tmp_path / "moved.pt"
    moved.write_bytes(teachers[0].read_bytes())

    def opened(*paths: Path) -> TrackedClassifier:
        data = Data(root=str(root), size_px=16)
        settings = recipe(root, data=data, model=SMALL, objective=Distillation(teachers=paths))
        return TrackedClassifier(settings, Ranks(torch.device("cpu")))

    def fingerprint(of: TrackedClassifier) -> str:
        return of.settings.fingerprint(of.digests, 1)

    here, there, other, both = opened(teachers[0]), opened(moved), opened(teachers[1]), opened(*teachers)
    assert fingerprint(here) == fingerprint(there)
    assert len({fingerprint(of) for of in (here, other, both)}) == 3
    digests = [Classifier.read(path, torch.device("cpu")).digest for path in teachers]
    assert both.facts == {"teacher_0": digests[0], "teacher_1": digests[1]}
    assert set(both.datasets) == {"clean"}


def test_teachers_that_are_missing_or_do_not_fit_are_refused(
    root: Path, teachers: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"objective=distillation: there is no teacher; give objective.teachers="):
        small(root, objective=Distillation())
    with pytest.raises(CheckpointError, match=r"absent.pt: no such checkpoint"):
        small(root, objective=Distillation(teachers=(tmp_path / "absent.pt",)))
    trained = Classifier.read(teachers[0], torch.device("cpu"))
    other_size = training(recipe(write_dataset(tmp_path / "small"), model=BaselineCnn()))
    other_size.classifier({}).write(tmp_path / "size.pt")
    with pytest.raises(SettingsError, match=r"size.pt: its size_px is 8, that of the network to be trained 16"):
        small(root, objective=Distillation(teachers=(tmp_path / "size.pt",)))
    Classifier(trained.network, trained.model, trained.shape, {"settings": {"data": {"geometry": "resize"}}}).write(
        tmp_path / "geometry.pt"
    )
    with pytest.raises(SettingsError, match="was trained on images of geometry=resize, these are of geometry=crop_or_"):
        small(root, objective=Distillation(teachers=(tmp_path / "geometry.pt",)))


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        Distillation(temperature=0.0)
    with pytest.raises(ValueError, match="temperature"):
        Distillation(temperature=math.inf)
