"""The losses that classifiers minimize. To add one, add a file here and a line in OBJECTIVES. Imported by classifiers;
imports attacks, augmentation and models, and no room that trains."""

from training.objectives.adversarial import Adversarial
from training.objectives.consistency import Consistency
from training.objectives.contract import Losses, Objective, ObjectiveInputs
from training.objectives.cross_entropy import CrossEntropy
from training.objectives.distillation import Distillation
from training.objectives.lipschitz_margin import LipschitzMargin
from training.objectives.trades import Trades

__all__ = [
    "OBJECTIVES", "Adversarial", "Consistency", "CrossEntropy", "Distillation", "LipschitzMargin", "Losses",
    "Objective", "ObjectiveInputs", "Trades",
]  # fmt: skip

OBJECTIVES: dict[str, type[Objective]] = {
    "cross_entropy": CrossEntropy,
    "consistency": Consistency,
    "distillation": Distillation,
    "adversarial": Adversarial,
    "trades": Trades,
    "lipschitz_margin": LipschitzMargin,
}
