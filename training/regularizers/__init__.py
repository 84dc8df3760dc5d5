"""What a classifier's training adds to any objective: a step after the optimizer's (parseval), a penalty on the
features of its layers (smoothness), and measures of layers. Imported by classifiers; imports no other room."""

from training.regularizers.parseval import Parseval
from training.regularizers.smoothness import Smoothness

__all__ = ["Parseval", "Smoothness"]
