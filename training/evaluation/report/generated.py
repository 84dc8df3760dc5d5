"""Generated images of the data set: what they look like, and how many each network takes for their classes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.store.schema import Manifest
from training.evaluation.classifiers.figures import label_text, show
from training.evaluation.classifiers.variants import generated_variants
from training.evaluation.intervals.proportions import Interval, Units
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.streams.stream import Data, open_stream, to_unit_floats

__all__ = ["generated_section"]

CLASSES, COLUMNS = 8, 8
BATCH = 500


class Shown(NamedTuple):
    """Some images of a generated variant: `images` (N, channels, S, S), uint8, and `labels` (N,), those they were
    generated for."""

    variant: str
    manifest: Manifest
    class_names: Sequence[str]
    images: torch.Tensor
    labels: NDArray[np.int64]


def generated_section(
    subjects: Sequence[Subject], models: Mapping[str, EvaluatedModel], data: Data, images: int, device: torch.device
) -> Section | None:
    """Of `images` images of each generated variant at the size of `data`, shown to the first network of each recipe
    that is for this size; None if there is no such variant. Raises StreamError."""
    found = [_some(data, variant, images) for variant in generated_variants(data)]
    if not found:
        return None
    fitting = [one for one in subjects if models[one.models[0]].classifier.shape.size_px == data.size_px]
    blocks: list[Block] = [Prose([_MEANING]), _grid(found, fitting, models, device)]
    blocks += [Prose([said]) for one in found for said in _chosen(one)]
    blocks += [_picture(one) for one in found]
    return Section("generated", "What do generated images look like?", blocks)


_MEANING = (
    "Images of a generator beside the training images, with the classes they were generated for. A network that takes "
    "few of them for their classes was shown wrong labels if it was trained on them, or does not know what they show. "
    "A network that chose them, or was trained on them, judges in its own case."
)


def _some(data: Data, variant: str, images: int) -> Shown:
    """A random sample, the same in each report."""
    stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), "train", seed=0, batch_size=BATCH)
    shown: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    for batch in stream.epoch(0):
        shown.append(batch.images[batch.valid])
        labels.append(batch.labels[batch.valid])
        if sum(map(len, labels)) >= images:
            break
    names = stream.source.card.class_names
    manifest = stream.source.variants[variant].manifest
    return Shown(variant, manifest, names, torch.cat(shown)[:images], torch.cat(labels)[:images].numpy())


def _recognized(shown: Shown, model: EvaluatedModel, device: torch.device) -> Interval:
    """The share of images that a network takes for their classes; each image counts, since it shows no object twice."""
    with torch.inference_mode():
        predicted = torch.cat(
            [
                model.classifier.network.to(device)(to_unit_floats(some, device)).argmax(1).cpu()
                for some in torch.split(shown.images, BATCH)
            ]
        ).numpy()
    return Units("image").proportion(predicted == shown.labels)


def _grid(
    found: Sequence[Shown], subjects: Sequence[Subject], models: Mapping[str, EvaluatedModel], device: torch.device
) -> Grid:
    rows: list[list[Cell]] = []
    data = []
    for one in found:
        row = [Cell(one.variant, f"{len(one.labels):,} of {one.manifest.counts['train']:,} images")]
        for subject in subjects:
            share = _recognized(one, models[subject.models[0]], device)
            low, high = share.low or 0.0, share.high or 0.0
            row.append(Cell(f"{100 * (share.value or 0):.1f} %", f"{100 * low:.1f} – {100 * high:.1f}", share.value))
            data.append(
                {"subject": subject.label, "variant": one.variant, "recognized": share.value, "low": low, "high": high,
                 "images": len(one.labels)}
            )  # fmt: skip
        rows.append(row)
    caption = "Taken for the class they were generated for, with 95 % intervals by image"
    header = ["variant", *(subject.label for subject in subjects)]
    return Grid("generated_images", caption, header, rows, table(data, {"images"}, {"subject", "variant"}))


def _chosen(shown: Shown) -> list[str]:
    """What the manifest says of the classifier that chose the images."""
    rule = shown.manifest.fingerprint.get("chosen")
    counted = (shown.manifest.chosen or {}).get("train")
    if rule is None or counted is None:
        return []
    images = shown.manifest.counts["train"]
    return [
        f"{shown.variant} was chosen by the classifier {rule['classifier'][:12]}: it gives {counted.confident:,} of "
        f"{images:,} images at least {rule['confidence']:g} for their class, after {counted.drawn / images:.2f} draws "
        f"an image and at most {rule['tries']}; the others are the best of their draws."
    ]


def _picture(shown: Shown) -> Picture:
    """A row for each of the classes with most images in the sample."""
    labels, counts = np.unique(shown.labels, return_counts=True)
    classes = sorted(labels[np.argsort(-counts, kind="stable")][:CLASSES].tolist())
    figure = Figure(figsize=(1.0 * COLUMNS + 1.6, 1.05 * len(classes)), layout="constrained")
    axes = figure.subplots(len(classes), COLUMNS, squeeze=False)
    for row, label in enumerate(classes):
        places = np.flatnonzero(shown.labels == label)[:COLUMNS]
        for column, axis in enumerate(axes[row]):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
            if column < len(places):
                show(axis, shown.images[int(places[column])].permute(1, 2, 0).numpy(), "", "black")
        name = label_text(label, shown.class_names)
        axes[row][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
    caption = f"{shown.variant}: images generated for each of these classes, a random sample and not the best."
    return Picture(f"generated_{shown.variant.replace('-', '_')}", figure, caption, caption, True)
