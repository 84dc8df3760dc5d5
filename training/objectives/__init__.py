"""The losses that classifiers minimize. To add one, add a file here and a line in OBJECTIVES. Imported by classifiers;
imports attacks and models, and no room that trains."""

from training.objectives.contract import Losses, Objective, ObjectiveInputs
from training.objectives.cross_entropy import CrossEntropy

__all__ = ["OBJECTIVES", "CrossEntropy", "Losses", "Objective", "ObjectiveInputs"]

OBJECTIVES: dict[str, type[Objective]] = {
    "cross_entropy": CrossEntropy,
}
