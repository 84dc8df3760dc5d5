"""What a classifier minimizes, and measures of how sure it is of a label. A new objective is one file here and one line
in OBJECTIVES. Imported by classifiers, attacks and gans; imports no room that trains."""

from training.objectives.contract import Given, Losses, Objective
from training.objectives.cross_entropy import CrossEntropy

__all__ = ["OBJECTIVES", "CrossEntropy", "Given", "Losses", "Objective"]

OBJECTIVES: dict[str, type[Objective]] = {
    "cross_entropy": CrossEntropy,
}
