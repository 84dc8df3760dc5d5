"""The predictions of classifiers for every image of a split: each variant is read once and shown to all of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.datasets.card import DatasetCard
from pipelines.errors import RoadsignError
from pipelines.noise import Noise
from pipelines.store.schema import CLEAN, Split
from pipelines.store.shown import Shown
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.attack_facts import AttackFacts, read_attack_facts
from training.evaluation.classifiers.row_columns import read_groups
from training.evaluation.classifiers.variants import noise_of, shown_of
from training.evaluation.intervals.proportions import DesignEffect, Units
from training.streams.stream import Batch, Data, open_stream, to_unit_floats

__all__ = ["EvaluationError", "Predictions", "on_same_images", "predict", "torch_device"]

MAX_NAMED = 5
SAME_LOGITS = 1e-3


class EvaluationError(RoadsignError):
    """A classifier does not fit the data, or its outputs are not finite, or the result cannot be written."""


@dataclass(frozen=True)
class Predictions:
    """N images in order of their ids, so that row i is the same image in every variant and for every classifier.

    `predicted` is the class of the largest logit, `probabilities` (N, num_classes) the softmax of the logits,
    `class_names` those of the data set's card, `dataset_digest` the content digest in the variant's manifest, `variant`
    the name by which it was opened, `recorded` what its manifest says of noise and level, `attack` what is known of
    adversarial images, `transfer` whether they were made against another network than this one. `steady` is whether
    the first batch had the same logits in a second pass; only adversarial images get one. `groups` (N,) names the
    object that each image shows, None if that is unknown; `recovered` is whether the names were recovered from the
    images instead of being recorded by the source. `design_effect` is an estimate from other images, for unknown
    groups. `noise` is what was added, None for clean, adversarial and generated images; `snr_db` is the mean ratio of
    the variant's images in this split, None of clean ones."""

    image_ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    dataset_digest: str
    variant: str = CLEAN
    attack: AttackFacts | None = None
    steady: bool = True
    class_names: tuple[str, ...] = ()
    recorded: Shown = field(default_factory=Shown)
    transfer: bool = False
    groups: NDArray[np.str_] | None = None
    recovered: bool = False
    design_effect: DesignEffect | None = None
    noise: Noise | None = None
    snr_db: float | None = None

    @cached_property
    def units(self) -> Units:
        """What counts as one observation."""
        if self.groups is None:
            return Units.unknown(self.design_effect)
        return Units.of_groups(self.groups, self.recovered)

    @property
    def shown(self) -> Shown:
        """fgsm_transfer_0f3a5c7e9b1d and snr33 if another network was attacked, else as recorded."""
        if self.attack is None or not self.transfer:
            return self.recorded
        return self.recorded._replace(noise=self.attack.transferred(self.recorded.noise))

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.equal(self.predicted, self.labels)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """The probability of the predicted class, (N,)."""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]

    def at(self, image_ids: NDArray[np.str_]) -> "Predictions":
        """The predictions for the images that are among `image_ids`, a random sample or all of them."""
        rows = np.isin(self.image_ids, image_ids)
        return replace(
            self,
            image_ids=self.image_ids[rows],
            labels=self.labels[rows],
            predicted=self.predicted[rows],
            probabilities=self.probabilities[rows],
            attack=self.attack and self.attack.at(rows),
            groups=None if self.groups is None else self.groups[rows],
            design_effect=self.design_effect and self.design_effect.thinned(float(rows.mean())),
        )


def on_same_images(*found: Predictions) -> list[Predictions]:
    """All predictions reduced to the images of the one with the fewest, since an attack may cover only a part of a
    split. Raises EvaluationError if another one lacks some of them."""
    fewest = min(found, key=lambda one: len(one.image_ids))
    same = [one.at(fewest.image_ids) for one in found]
    for one in same:
        if len(one.image_ids) < len(fewest.image_ids):
            raise EvaluationError(
                f"{fewest.variant} has images that {one.variant} does not have; make both again from the same dataset"
            )
    return same


def predict(
    classifiers: Mapping[str, AnyClassifier],
    data: Data,
    split: Split,
    variants: Iterable[str],
    device: torch.device,
    batch_size: int = 512,
) -> dict[tuple[str, str], Predictions]:
    """Predictions by (name of the classifier, variant). The networks are moved to `device` and left there in evaluation
    mode; data.mixture is ignored.

    Raises StreamError if the data cannot be read, and EvaluationError if a classifier is for another size or has too
    few classes, or if logits are not finite."""
    for name, classifier in classifiers.items():
        if classifier.shape.size_px != data.size_px:
            raise EvaluationError(
                f"{name} is for images of {classifier.shape.size_px} px, not of {data.size_px} px; leave data.size_px "
                f"null or set data.size_px={classifier.shape.size_px}"
            )
        classifier.network.to(device).eval()
    return {
        (name, variant): predictions
        for variant in variants
        for name, predictions in _predict_variant(classifiers, data, split, variant, device, batch_size).items()
    }


def torch_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Raises EvaluationError if a GPU is requested and there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EvaluationError("device=cuda: PyTorch finds no GPU; use device=cpu or device=auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _predict_variant(
    classifiers: Mapping[str, AnyClassifier],
    data: Data,
    split: Split,
    variant: str,
    device: torch.device,
    batch_size: int,
) -> dict[str, Predictions]:
    stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), split, seed=0, batch_size=batch_size)
    opened, card = stream.source.variants[variant], stream.source.card
    recorded = shown_of(opened)
    for name, classifier in classifiers.items():
        _check_card(name, classifier, card)
    attack, groups = read_attack_facts(stream.source, variant), read_groups(stream.source, variant)
    steady = dict.fromkeys(classifiers, True)
    image_ids: list[str] = []
    labels: list[torch.Tensor] = []
    logits: dict[str, list[torch.Tensor]] = {name: [] for name in classifiers}
    with torch.inference_mode():
        for batch in stream.epoch(0):
            image_ids += [image_id for image_id, valid in zip(batch.image_ids, batch.valid, strict=True) if valid]
            labels.append(batch.labels[batch.valid])
            images = to_unit_floats(batch.images, device)
            for name, classifier in classifiers.items():
                found = _finite_logits(name, classifier, images, batch, variant)
                if attack and not logits[name]:
                    steady[name] = _is_steady(found, _finite_logits(name, classifier, images, batch, variant))
                logits[name].append(found[batch.valid])
    order = np.argsort(np.array(image_ids))
    sorted_ids, sorted_labels = np.array(image_ids)[order], torch.cat(labels).numpy()[order]
    return {
        name: Predictions(
            sorted_ids,
            sorted_labels,
            *_classes_of(torch.cat(parts)[order]),
            opened.manifest.content_digest,
            variant,
            attack,
            steady[name],
            card.class_names,
            recorded,
            transfer=attack is not None and attack.network != classifiers[name].digest,
            groups=groups,
            noise=noise_of(opened),
            snr_db=opened.manifest.statistics[split].snr_db_mean,
        )
        for name, parts in logits.items()
    }


def _classes_of(logits: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return logits.argmax(dim=1).numpy(), logits.softmax(dim=1).numpy()


def _is_steady(logits: torch.Tensor, again: torch.Tensor) -> bool:
    return torch.allclose(logits, again, rtol=SAME_LOGITS, atol=SAME_LOGITS)


def _finite_logits(
    name: str, classifier: AnyClassifier, images: torch.Tensor, batch: Batch, variant: str
) -> torch.Tensor:
    logits: torch.Tensor = classifier.network(images).float().cpu()
    finite = logits.isfinite().all(dim=1)
    if not finite.all():
        raise EvaluationError(
            f"{name} gives logits that are not finite for {_named(batch, finite)} of {variant}; its weights are not "
            "usable: train it again, with a smaller lr"
        )
    return logits


def _check_card(name: str, classifier: AnyClassifier, card: DatasetCard) -> None:
    if difference := classifier.difference(card):
        raise EvaluationError(f"{name} {difference}; choose a model that was trained on this dataset")


def _named(batch: Batch, finite: torch.Tensor) -> str:
    wrong = sorted({image_id for image_id, fine in zip(batch.image_ids, finite, strict=True) if not fine})
    more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
    return ", ".join(wrong[:MAX_NAMED]) + more
