"""The losses that classifiers minimize. To add one, add a file here and a line in OBJECTIVES. Imported by classifiers;
imports attacks, augmentation and models, and no room that trains."""

from training.objectives.consistency import Consistency
from training.objectives.contract import Losses, Objective, ObjectiveInputs
from training.objectives.cross_entropy import CrossEntropy
from training.objectives.distillation import Distillation

__all__ = ["OBJECTIVES", "Consistency", "CrossEntropy", "Distillation", "Losses", "Objective", "ObjectiveInputs"]

OBJECTIVES: dict[str, type[Objective]] = {
    "cross_entropy": CrossEntropy,
    "consistency": Consistency,
    "distillation": Distillation,
}
