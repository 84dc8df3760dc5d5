"""Inception v3, whose features are the standard for comparing generated and real images. In its own module, since its
library takes seconds to import."""

import hashlib
from pathlib import Path

import torch
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.features import Extractor

__all__ = ["InceptionFeatures"]

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class InceptionFeatures(Extractor):
    """torch-fidelity's Inception v3, on whose features FID, KID and the Inception score are defined.

    Its weights are a file of 96 MB that is never downloaded automatically. It enlarges images to 299 px in the same way
    as TensorFlow 1. Raises EvaluationError if `weights` do not exist, or are not those that the metrics are defined
    with."""

    suffix = ""
    normalized = False
    name = "inception-v3-compat"

    def __init__(self, weights: Path, device: torch.device) -> None:
        self.digest = _checked_digest(weights)
        self.device = device
        layers = ["2048", "logits_unbiased"]
        self._network = FeatureExtractorInceptionV3(self.name, layers, feature_extractor_weights_path=str(weights))
        self._network.to(device)

    def _features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, logits = self._network(images.to(self.device))
        return values, logits


def _checked_digest(weights: Path) -> str:
    """SHA-256 of the file, which torch-fidelity unpickles: it must be the known one."""
    if not weights.is_file():
        raise EvaluationError(
            f"inception={weights}: no such file; get it from {URL_INCEPTION_V3} (96 MB), or leave inception null: the "
            "metrics then use only a classifier's features"
        )
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != INCEPTION_SHA256:
        raise EvaluationError(
            f"inception={weights}: is not the file that FID is defined with (SHA-256 {digest}, expected "
            f"{INCEPTION_SHA256}); get it from {URL_INCEPTION_V3}"
        )
    return digest
