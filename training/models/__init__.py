"""The classifiers, and the margins of their predictions. To add one, add a file here and a line in MODELS; its settings
are a file in conf/model/. Imports no other room of training.

MODELS imports all of its files, so that it stays a plain dict that mypy, pipelines.declared and a reader can follow. A
file of settings costs a millisecond to import; a library such as torchvision costs seconds. So a model imports such a
library inside `layers`, when a network of this kind is built, and only torch and pydantic at its top."""

from training.models.aol_cnn import AolCnn
from training.models.baseline_cnn import BaselineCnn
from training.models.classic_classifier import ClassicClassifier
from training.models.contract import Channels, Model, Normalize
from training.models.inception_v3 import InceptionV3
from training.models.mobilenet_v2 import MobilenetV2
from training.models.resnet18 import Resnet18
from training.models.resnet50 import Resnet50
from training.models.sign_net import SignNet

__all__ = ["MODELS", "Channels", "Model", "Normalize"]

MODELS: dict[str, type[Model]] = {
    "aol_cnn": AolCnn,
    "baseline_cnn": BaselineCnn,
    "classic_classifier": ClassicClassifier,
    "inception_v3": InceptionV3,
    "mobilenet_v2": MobilenetV2,
    "resnet18": Resnet18,
    "resnet50": Resnet50,
    "sign_net": SignNet,
}
