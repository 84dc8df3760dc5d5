"""What is known of images whose groups the dataset does not record: recovered groups, or the design effect that the
groups of the validation images have."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from pipelines.store.recovered_groups import RecoveredGroups
from pipelines.store.schema import Split
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.predicting import Predictions, predict
from training.evaluation.classifiers.variants import has_images
from training.evaluation.intervals.proportions import DesignEffect
from training.streams.stream import Data

__all__ = ["design_effect", "grouped"]

VALIDATION: Split = "validation"
Found = dict[tuple[str, str], Predictions]


def grouped(
    found: Found, classifiers: Mapping[str, AnyClassifier], data: Data, recovered: RecoveredGroups | None,
    device: torch.device, batch_size: int,
) -> Found:  # fmt: skip
    """`found`, by name and variant, where groups are unknown with the `recovered` ones, or with the design effect of
    the validation images of the same variant and network; unchanged if the variant has no validation images, if their
    groups are unknown too, or if the network was trained on them. Raises StreamError, EvaluationError, and StoreError
    if an image has no recovered group."""
    unknown = {place: one for place, one in found.items() if one.groups is None}
    if recovered:
        return found | {place: _with(one, recovered) for place, one in unknown.items()}
    effects: Found = {}
    unseen = {name: one for name, one in classifiers.items() if VALIDATION not in one.trained_on}
    for variant in dict.fromkeys(variant for _, variant in unknown):
        # adversarial images are often of the test split alone
        if not unseen or not has_images(data, variant, VALIDATION):
            continue
        validation = predict(unseen, data, VALIDATION, [variant], device, batch_size)
        for place, one in validation.items():
            if (effect := design_effect(one)) and place in unknown:
                effects[place] = replace(unknown[place], design_effect=effect)
    return found | effects


def design_effect(found: Predictions) -> DesignEffect | None:
    """Of the accuracy; None if groups are unknown, or there are fewer than two."""
    accuracy = found.units.proportion(found.right)
    if accuracy.design_effect is None or accuracy.groups is None or accuracy.groups < 2:
        return None
    return DesignEffect(accuracy.design_effect, accuracy.groups)


def _with(found: Predictions, recovered: RecoveredGroups) -> Predictions:
    groups = recovered.of_images(found.image_ids.tolist(), found.labels)
    return replace(found, groups=np.array(groups, np.str_), recovered=True)
