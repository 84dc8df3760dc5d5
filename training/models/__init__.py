"""The classifiers. To add one, add a file here and a line in MODELS; its settings are a file in conf/model/."""

from training.models.baseline_cnn import BaselineCnn
from training.models.contract import Channels, Model, Normalize

__all__ = ["MODELS", "Channels", "Model", "Normalize"]

MODELS: dict[str, type[Model]] = {
    "baseline_cnn": BaselineCnn,
}
