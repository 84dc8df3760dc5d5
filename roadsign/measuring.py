"""Any torch.nn.Module under noise and attack, by the means of the jobs."""

import copy
from collections.abc import Sequence
from typing import Literal

import pandas as pd
import torch
from torch import nn

from pipelines.console import make_console
from pipelines.errors import SettingsError
from pipelines.settings import choose
from pipelines.store.schema import Split
from roadsign.network import Network
from training.attacks import ATTACKS, Attacked, Eps, FixedStrength, LabelledImages, MinimalPerturbation, SnrDb, Strength
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.foreign.classifier import ForeignClassifier, Images
from training.classifiers.foreign.factory import Factory
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.robustness.evaluation import EvaluatedData, EvaluatedModel, Evaluation
from training.evaluation.robustness.evaluation import evaluate as evaluate_models
from training.streams.listing import stored_images

__all__ = ["attack", "evaluate"]


def evaluate(
    module: nn.Module | Network, data_root: str, *, variants: Literal["all"] | Sequence[str] = "all",
    split: Split = "test", geometry: str | None = None, size_px: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto", batch_size: int = 512,
) -> pd.DataFrame:  # fmt: skip
    """The table of jobs/evaluate_classifiers.py: a row for each variant and metric, with 95 % intervals.

    `module`: (N, channels, size_px, size_px) float32 in [0, 1] → logits or probabilities (N, classes), in the order of
    the dataset's classes; a copy of it in evaluation mode is measured. `geometry` None: that of the network, otherwise
    crop_or_pad; `size_px` None: the only size xx"""
    on = torch_device(device)
    own = module.geometry if isinstance(module, Network) else None
    geometry = geometry or own or "crop_or_pad"
    classifier = module.classifier if isinstance(module, Network) else _fitted(module, data_root, geometry, size_px, on)
    name = module.reference if isinstance(module, Network) else type(module).__name__
    settings = Evaluation(
        models=(name,), data=EvaluatedData(root=data_root, geometry=geometry, size_px=size_px),
        variants="all" if variants == "all" else tuple(variants), split=split, batch_size=batch_size,
    )  # fmt: skip
    result = evaluate_models(settings, {name: EvaluatedModel(classifier, None)}, on, make_console(stderr=True))
    table: pd.DataFrame = result.table.to_pandas()
    return table


def _fitted(module: nn.Module, root: str, geometry: str, size_px: int | None, device: torch.device) -> AnyClassifier:
    there = stored_images(root, geometry, size_px)
    images = Images(there.size_px, there.card.channels, there.card.num_classes, there.card.name)
    form = Factory(type(module).__name__, ".", copy.deepcopy(module))
    return ForeignClassifier.fitted(form, images, device)


def attack(
    module: nn.Module | Network, images: torch.Tensor, labels: torch.Tensor, kind: str, *, snr_db: float | None = None,
    eps: float | None = None, seed: int = 0, image_ids: Sequence[str] | None = None, **settings: float | str,
) -> Attacked:  # fmt: skip
    """The images, changed so that the module errs: attack(net, images, labels, "fgsm", snr_db=33).

    `images` (N, channels, S, S), float32 in [0, 1], or uint8; `labels` (N,) int64; on the module's device. `snr_db` is
    the signal-to-noise ratio of each image, `eps` the radius on the scale of [0, 1]; deepfool and one_pixel take
    neither. `kind` and `settings` are those of conf/attack/. The module must be in evaluation mode. Raises
    AttackError and SettingsError."""
    try:
        chosen = choose(ATTACKS, {"kind": kind, **settings})
    except ValueError as error:
        raise SettingsError(f"{kind}: {error}") from None
    given: list[Strength] = [SnrDb(snr_db)] if snr_db is not None else []
    given += [Eps(eps)] if eps is not None else []
    floats = images if images.is_floating_point() else images.to(torch.float32).div_(255)
    names = [str(number) for number in range(len(images))] if image_ids is None else image_ids
    examples = LabelledImages(floats, labels, names, seed)
    network = module.module if isinstance(module, Network) else module
    if isinstance(chosen, FixedStrength):
        if len(given) != 1:
            raise SettingsError(f"{kind}: give one strength, snr_db=33 or eps=0.03")
        return chosen(network, examples, given)[0]
    assert isinstance(chosen, MinimalPerturbation)
    if given:
        raise SettingsError(f"{kind}: seeks the smallest change by itself; leave snr_db and eps out")
    return chosen(network, examples)
