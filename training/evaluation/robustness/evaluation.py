"""An evaluation from its settings to the files: every model on every variant, at the image size of the model."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch
from rich.console import Console

from pipelines.console import followed
from pipelines.settings import to_yaml
from pipelines.store import recovered_groups
from pipelines.store.recovered_groups import RecoveredGroups
from pipelines.store.remote_copy import here
from pipelines.store.schema import CLEAN, Split
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers import figures
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.flips import Flip, find_flips, images_by_id
from training.evaluation.classifiers.metrics import confusion, measure, reliability
from training.evaluation.classifiers.predicting import EvaluationError, Predictions, predict
from training.evaluation.classifiers.reports import write_reports
from training.evaluation.classifiers.table import Subject, make_table, write_table
from training.evaluation.robustness import figures as robustness_figures
from training.evaluation.robustness.comparison import Comparison, compare
from training.evaluation.robustness.curves import Curve, find_curves, measure_robustness
from training.evaluation.robustness.flags import find_flags
from training.evaluation.robustness.groups import grouped
from training.evaluation.robustness.recipes import measure_recipes
from training.evaluation.robustness.settings import EvaluatedData, Evaluation, ShownImages
from training.streams.stream import Data

__all__ = [
    "EvaluatedData", "EvaluatedModel", "Evaluation", "Result", "by_size", "evaluate", "folder_name", "write_flags",
    "write_result",
]  # fmt: skip


class EvaluatedModel(NamedTuple):
    """`run` is the id of its tracked run, or None."""

    classifier: AnyClassifier
    run: str | None


class Result(NamedTuple):
    """`predictions` by (model, variant as in Predictions.shown); `key` is a digest of the models' weights, of the
    images shown to them, and of recovered groups. `curves` and `flags`, sentences, are those of adversarial images;
    `recipes` is of models that differ in their seeds alone; `comparison` is of two models, or of two recipes."""

    predictions: Mapping[tuple[str, str], Predictions]
    table: pa.Table
    key: str
    curves: Sequence[Curve]
    flags: Sequence[str]
    recipes: pa.Table
    comparison: Comparison | None = None


def evaluate(
    settings: ShownImages, models: Mapping[str, EvaluatedModel], device: torch.device, console: Console
) -> Result:
    """`models` by their names in the result. Raises StreamError and EvaluationError."""
    predictions: dict[tuple[str, str], Predictions] = {}
    recovered = recovered_groups.read(settings.groups_file) if settings.groups == "recovered" else None
    for size_px, names in by_size(models).items():
        data = settings.data_at(size_px)
        classifiers = {name: models[name].classifier for name in names}
        shown, left_out = settings.variants_in(data)
        if left_out:
            console.print(f"left out, since they have no {settings.split} images: {', '.join(left_out)}")
        variants = followed(shown, f"variants of {data.size_px} px", console)
        found = predict(classifiers, data, settings.split, variants, device, settings.batch_size)
        found = grouped(found, classifiers, data, recovered, device, settings.batch_size)
        for (name, _), one in found.items():
            place = name, one.shown.variant
            if place in predictions:
                raise EvaluationError(
                    f"{data.root}: {predictions[place].variant} and {one.variant} are both {one.shown.variant} by "
                    "their manifests; choose one of them with variants=[…]"
                )
            predictions[place] = one
    subjects = {
        (name, variant): Subject(
            name,
            models[name].run,
            found.dataset_digest,
            models[name].classifier.shape.size_px,
            *found.shown,
            settings.split,
        )
        for (name, variant), found in predictions.items()
    }
    robustness = measure_robustness(predictions)
    table = make_table(
        (subjects[place], [*measure(found), *robustness.get(place, [])]) for place, found in predictions.items()
    )
    curves = find_curves(predictions)
    if recovered and not any(one.recovered for one in predictions.values()):
        console.print(
            f"groups=recovered: not used, since the dataset says which {settings.split} images show one object"
        )
    key = _key(models, subjects.values(), recovered)
    every = {name: model.classifier for name, model in models.items()}
    recipes, comparison = measure_recipes(predictions, every), compare(predictions, every)
    flags = [*_known_images(settings.split, models), *find_flags(predictions, curves)]
    return Result(predictions, table, key, curves, flags, recipes, comparison)


def _known_images(split: Split, models: Mapping[str, EvaluatedModel]) -> list[str]:
    return [
        f"{name}: was trained on the {split} images; their accuracies say how well it knows these by heart"
        for name, (classifier, _) in models.items()
        if split in classifier.trained_on
    ]


def write_result(settings: Evaluation, models: Mapping[str, EvaluatedModel], result: Result) -> Path:
    """The folder of this result under settings.output_root, which is the same for the same models and images.

    It contains evaluation.parquet, evaluation.csv, evaluation.yaml (the settings), recipes.parquet and recipes.csv if
    several models differ in their seeds alone, comparison.parquet and comparison.csv of two models or recipes,
    accuracy_by_noise.png, for adversarial images accuracy_over_snr.png, accuracy_over_eps.png,
    accuracy_over_pixels.png and flags.txt if there are any flags, and for each model <model>/reports and
    <model>/figures. Raises EvaluationError and StreamError."""
    names = "+".join(folder_name(name) for name in models)
    folder = here(settings.output_root) / f"{names[:80]}-{settings.split}-{result.key[:12]}"
    write_table(result.table, folder)
    if result.recipes:
        write_table(result.recipes, folder, "recipes")
    if result.comparison and result.comparison.table:
        write_table(result.comparison.table, folder, "comparison")
    with replacing(folder / "evaluation.yaml") as partial:
        partial.write_text(to_yaml(settings))
    figures.save(figures.accuracy_by_noise(result.table), folder / "accuracy_by_noise.png")
    for kind in dict.fromkeys(curve.kind for curve in result.curves):
        own_curves = [curve for curve in result.curves if curve.kind == kind]
        figures.save(robustness_figures.accuracy_over_strength(own_curves), folder / f"accuracy_over_{kind}.png")
    write_flags(result.flags, folder / "flags.txt")
    for name in models:
        own = {variant: found for (model, variant), found in result.predictions.items() if model == name}
        _write_model(name, own, folder / folder_name(name))
    for size_px, those in by_size(models).items():
        already_verified = settings.data_at(size_px).model_copy(update={"verify": False})
        _write_flips(settings, already_verified, result, those, folder)
    return folder


def folder_name(model: str) -> str:
    """The name of a model's folder in the folder of a result."""
    return re.sub(r"[^\w.@+-]", "_", model)


def write_flags(flags: Sequence[str], path: Path) -> None:
    """Without flags, writes no file and removes that of an earlier evaluation."""
    if flags:
        with replacing(path) as partial:
            partial.write_text("".join(f"{flag}\n" for flag in flags))
    else:
        path.unlink(missing_ok=True)


def _write_model(name: str, predictions: Mapping[str, Predictions], folder: Path) -> None:
    for variant, found in predictions.items():
        class_names = found.class_names
        write_reports(found, class_names, folder / "reports", variant)
        title = f"{name} on {variant}: {found.right.mean():.2%} of {len(found.right):,} images right"
        figure = figures.heat_map(confusion(found), class_names, title)
        figures.save(figure, folder / "figures" / f"confusion-{variant}.png")
    diagrams = {found.shown: reliability(found) for found in predictions.values()}
    figures.save(figures.reliability_diagrams(diagrams, name), folder / "figures" / "reliability.png")


def _write_flips(settings: Evaluation, data: Data, result: Result, names: Sequence[str], folder: Path) -> None:
    """Handles all models of one size together, so that a variant is read once."""
    flips: dict[tuple[str, str], list[Flip]] = {}
    for (name, variant), after in result.predictions.items():
        attacked = result.predictions.get((name, _source(after)))
        if name in names and variant != CLEAN and attacked:
            flips[name, variant] = find_flips(attacked, after)
    wanted: dict[str, set[str]] = {}
    for (name, variant), those in flips.items():
        after = result.predictions[name, variant]
        for opened in (result.predictions[name, _source(after)].variant, after.variant):
            wanted.setdefault(opened, set()).update(flip.image_id for flip in those)
    images = {opened: images_by_id(data, settings.split, opened, ids) for opened, ids in wanted.items()}
    for (name, variant), those in flips.items():
        if those:
            after = result.predictions[name, variant]
            draw = robustness_figures.attacked_images if after.attack else figures.flipped_images
            title = f"{name}: right before, wrong after {variant}"
            before = result.predictions[name, _source(after)]
            figure = draw(those, images[before.variant], images[after.variant], after.class_names, variant, title)
            figures.save(figure, folder / folder_name(name) / "figures" / f"flipped-{variant}.png")


def _source(found: Predictions) -> str:
    """The variant that the noise or the attack was applied to."""
    return found.attack.source if found.attack else CLEAN


def by_size(models: Mapping[str, EvaluatedModel]) -> dict[int, list[str]]:
    """The names of the models by the size of their images."""
    sizes: dict[int, list[str]] = {}
    for name, model in models.items():
        sizes.setdefault(model.classifier.shape.size_px, []).append(name)
    return sizes


def _key(models: Mapping[str, EvaluatedModel], subjects: Iterable[Subject], recovered: RecoveredGroups | None) -> str:
    facts = [f"recovered groups {recovered.digest}"] if recovered else []
    facts += [f"{models[subject.model].classifier.digest} {subject}" for subject in subjects]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
