"""Saliency figures of an evaluation, and which images they show."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from pipelines.store.schema import CLEAN, Split
from pipelines.store.shown import Shown
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.flips import Flip, find_flips, find_kept, images_by_id
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.variants import in_order
from training.evaluation.saliency.figures import Example, Panel, saliency_figure
from training.evaluation.saliency.maps import GRAD_CAM, maps
from training.evaluation.saliency.settings import Saliency
from training.streams.stream import Data, to_unit_floats

__all__ = ["saliency_figures"]


def saliency_figures(
    settings: Saliency, name: str, classifier: AnyClassifier, found: Mapping[str, Predictions],
    variants: Sequence[str], data: Data, split: Split, stacked: bool = False,
) -> tuple[dict[str, Figure], list[str]]:  # fmt: skip
    """A figure for each of `variants` with images that the network `name` predicts wrongly and rightly before (paper,
    Figure 13), beside images that it still predicts rightly under the weakest level of the same noise (Figure 12), or
    `stacked` below these; and sentences on what there is no map of. `found` by variant. Raises StreamError and
    EvaluationError."""
    if classifier.no_gradients:
        return {}, [f"no saliency maps of {name}: it {classifier.no_gradients}"]
    if CLEAN not in found:
        return {}, [f"no saliency maps of {name}: {CLEAN} is not among the variants"]
    clean, said, figures = found[CLEAN], dict[str, None](), {}
    chosen = {variant: _chosen(settings, clean, variant, found) for variant in variants if variant != CLEAN}
    wanted: dict[str, set[str]] = {}
    for both in chosen.values():
        for variant, flips in both:
            for opened in (clean.variant, found[variant].variant):
                wanted.setdefault(opened, set()).update(flip.image_id for flip in flips)
    images = {opened: images_by_id(data, split, opened, ids) for opened, ids in wanted.items()}
    for variant, ((weak, kept), (_, flips)) in chosen.items():
        panels = [
            Panel(title, _examples(settings, classifier.network, those, images[clean.variant], images[opened.variant]))
            for title, those, opened in (
                (f"still right after {weak}", kept, found[weak]),
                (f"wrong after {variant}", flips, found[variant]),
            )
        ]
        if not flips:
            said.setdefault(f"{name}: no image is right before and wrong after {variant}")
        examples = [example for panel in panels for example in panel.examples]
        if examples and GRAD_CAM not in examples[0].maps_before:
            said.setdefault(f"no Grad-CAM of {name}: it has no convolution that could be found")
        if examples:
            title = f"{name}: what the predicted class depends on, before and after"
            figures[variant] = saliency_figure(panels, clean.class_names, title, stacked)
    return figures, list(said)


def _chosen(
    settings: Saliency, clean: Predictions, variant: str, found: Mapping[str, Predictions]
) -> tuple[tuple[str, list[Flip]], tuple[str, list[Flip]]]:
    """(weakest variant of the noise, images still right), (variant, images that are wrong)."""
    weak = _weakest(found[variant].shown, [one.shown for one in found.values()]).variant
    kept = find_kept(clean, found[weak], settings.images)
    return (weak, kept), (variant, find_flips(clean, found[variant], settings.images))


def _weakest(shown: Shown, among: Sequence[Shown]) -> Shown:
    return in_order(one for one in among if one.noise == shown.noise)[0]


def _examples(
    settings: Saliency, network: nn.Module, flips: Sequence[Flip], before: Mapping[str, NDArray[np.generic]],
    after: Mapping[str, NDArray[np.generic]],
) -> list[Example]:  # fmt: skip
    if not flips:
        return []
    sides = []
    for images, classes in ((before, [one.label for one in flips]), (after, [one.predicted for one in flips])):
        stored = torch.from_numpy(np.stack([images[one.image_id] for one in flips])).permute(0, 3, 1, 2)
        device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
        given = to_unit_floats(stored, device)
        sides.append(maps(network, given, torch.tensor(classes, device=device), settings.steps))
    return [
        Example(
            flip, before[flip.image_id], after[flip.image_id],
            *({name: one[row] for name, one in side.items()} for side in sides),
        )
        for row, flip in enumerate(flips)
    ]  # fmt: skip
