"""The classifiers. A new one is one file here and one line in MODELS; its settings are a file of conf/model/."""

from training.models.baseline_cnn import BaselineCnn
from training.models.contract import Channels, Model, Normalize

__all__ = ["MODELS", "Channels", "Model", "Normalize"]

MODELS: dict[str, type[Model]] = {
    "baseline_cnn": BaselineCnn,
}
