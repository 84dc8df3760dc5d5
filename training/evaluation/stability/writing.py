"""A measurement of stability from its settings to the files."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipelines.settings import to_yaml
from pipelines.store import recovered_groups
from pipelines.store.remote_copy import here
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.figures import save
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.flips import images_by_id
from training.evaluation.classifiers.predicting import EvaluationError, predict
from training.evaluation.classifiers.sampling import random_sample
from training.evaluation.classifiers.table import write_table
from training.evaluation.stability.figures import (
    Example,
    distances_by_class,
    perturbed_images,
    slopes_and_distances,
)
from training.evaluation.stability.measuring import Measured, examples_of, measure
from training.evaluation.stability.plane import in_the_plane, plane_figure
from training.evaluation.stability.settings import Stability
from training.evaluation.stability.table import SCHEMA, image_rows, measured_rows

__all__ = ["Result", "measure_stability", "write_stability"]


class Result(NamedTuple):
    """`rows` of table.SCHEMA; `examples` the least and the most stable images."""

    measured: Measured
    rows: Sequence[dict[str, Any]]
    examples: tuple[Sequence[Example], Sequence[Example]]


def measure_stability(
    settings: Stability, name: str, run: str | None, classifier: AnyClassifier, device: torch.device
) -> Result:
    """Raises StreamError, StoreError, AttackError and EvaluationError."""
    if classifier.no_gradients:
        raise EvaluationError(f"{settings.model} {classifier.no_gradients}, which distances and slopes need")
    data = settings.data_at(classifier.shape.size_px)
    variant = settings.data.variant
    found = predict({name: classifier}, data, settings.split, [variant], device)[name, variant]
    if found.attack:
        raise EvaluationError(
            f"data.variant={variant}: these images are adversarial already; choose clean or noisy ones"
        )
    if settings.groups == "recovered" and found.groups is None:
        recovered = recovered_groups.read(settings.groups_file)
        groups = np.array(recovered.of_images(found.image_ids.tolist(), found.labels), np.str_)
        found = replace(found, groups=groups, recovered=True)
    found = found.at(random_sample(found.image_ids, settings.data.images))
    already_verified = data.model_copy(update={"verify": False})
    images = images_by_id(already_verified, settings.split, found.variant, found.image_ids.tolist())
    measured = measure(settings, classifier, found, images, device)
    subject = {
        "model": name, "run": run, "dataset_digest": found.dataset_digest, "size_px": data.size_px,
        "noise": found.shown.noise, "level": found.shown.level, "split": settings.split,
    }  # fmt: skip
    order = np.flatnonzero(measured.moved)[np.argsort(measured.relative[measured.moved], kind="stable")]
    ends = order[: settings.examples], order[::-1][: settings.examples]
    least, most = (_examples(settings, classifier, measured, images, rows.tolist(), device) for rows in ends)
    return Result(measured, measured_rows(measured, subject), (least, most))


def write_stability(settings: Stability, name: str, classifier: AnyClassifier, result: Result) -> Path:
    """<output_root>/<model>-<split>-<digest>/, the same for the same model, images and settings: stability.parquet and
    .csv, images.parquet and .csv, stability.yaml (the settings), perturbations.png, slopes.png, by_class.png, and
    linear_classifier.png. Raises EvaluationError."""
    found, rows = result.measured.found, result.rows
    facts = [
        classifier.digest,
        found.dataset_digest,
        str(settings.seed),
        settings.deepfool,
        settings.ball,
        *found.image_ids,
    ]
    digest = hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()
    folder = here(settings.output_root) / f"{name[:80]}-{settings.split}-{digest[:12]}"
    write_table(
        pa.Table.from_pylist([{key: row.get(key) for key in SCHEMA.names} for row in rows], SCHEMA), folder, "stability"
    )
    write_table(image_rows(result.measured), folder, "images")
    with replacing(folder / "stability.yaml") as partial:
        partial.write_text(to_yaml(settings))
    values = {row["metric"]: row["value"] for row in rows if row.get("label") is None}
    correlations = values["rank_correlation/first_order_l2"], values["rank_correlation/slope_in_ball"]
    title = f"{name} on {found.shown.variant}, {len(found.labels):,} {settings.split} images"
    save(perturbed_images(result.measured, *result.examples, title), folder / "perturbations.png")
    save(slopes_and_distances(result.measured, correlations, title), folder / "slopes.png")
    save(distances_by_class(rows, title), folder / "by_class.png")
    save(plane_figure(in_the_plane()), folder / "linear_classifier.png")
    return folder


def _examples(
    settings: Stability, classifier: AnyClassifier, measured: Measured, images: dict[str, NDArray[Any]],
    rows: list[int], device: torch.device,
) -> list[Example]:  # fmt: skip
    if not rows:
        return []
    given = examples_of(measured.found, images, rows, device)
    after = settings.deepfool(classifier.network, given).images
    pairs = (side.permute(0, 2, 3, 1).cpu().numpy() for side in (given.images, after))
    return [Example(row, *pair) for row, *pair in zip(rows, *pairs, strict=True)]
