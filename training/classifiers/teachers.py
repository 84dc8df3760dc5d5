"""Trained classifiers that an objective learns from."""

from collections.abc import Sequence

import torch

from pipelines.datasets.card import DatasetCard
from pipelines.errors import SettingsError
from training.classifiers.trained import Classifier, Shape
from training.objectives import Objective

__all__ = ["check_teachers", "read_teachers"]


def read_teachers(objective: Objective, shape: Shape, device: torch.device) -> tuple[Classifier, ...]:
    """Those of the objective, on `device`. Raises SettingsError if one does not take and give what the network does,
    CheckpointError if a file is not a classifier."""
    if objective.teacher_files is None:
        return ()
    if not objective.teacher_files:
        raise SettingsError(
            f"objective={objective.kind}: there is no teacher; give objective.teachers=[<a trained model.pt>]"
        )
    teachers = tuple(Classifier.read(path, device) for path in objective.teacher_files)
    for path, teacher in zip(objective.teacher_files, teachers, strict=True):
        for name in ("size_px", "channels", "num_classes"):
            own, theirs = getattr(shape, name), getattr(teacher.shape, name)
            if own != theirs:
                raise SettingsError(
                    f"objective.teachers: {path}: its {name} is {theirs}, that of the network to be trained {own}; "
                    "take a teacher that was trained on images of the same kind"
                )
    return teachers


def check_teachers(objective: Objective, teachers: Sequence[Classifier], card: DatasetCard, geometry: str) -> None:
    """Raises SettingsError if one was trained on other classes, or on images of another geometry."""
    for path, teacher in zip(objective.teacher_files or (), teachers, strict=True):
        if reason := teacher.difference(card):
            raise SettingsError(f"objective.teachers: {path}: {reason}")
        if teacher.geometry != geometry:
            raise SettingsError(
                f"objective.teachers: {path}: was trained on images of geometry={teacher.geometry}, these are of "
                f"geometry={geometry}; take a teacher of the same geometry"
            )
