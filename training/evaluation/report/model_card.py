"""A model card for each network of a report, in Hugging Face's format: Markdown that opens with YAML.

https://huggingface.co/docs/hub/model-cards; the results are in its `model-index`, which the Hub shows as a table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.datasets.card import DatasetCard
from pipelines.settings import plain_yaml
from pipelines.store.schema import CLEAN, Split
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.settings import WITHOUT_EFFECT, WITHOUT_EFFECT_IN_DATA
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.proportions import Interval
from training.evaluation.report.answer import UNITS_SAID
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel, folder_name

__all__ = ["LICENCE", "model_card", "write_model_cards"]

LICENCE = "unknown"
"""The Hub's word for a licence that is not declared."""
TASK = {"type": "image-classification"}
EVIDENCE = (
    "The accuracies are evidence for how this network behaves under the noises and strengths of the table, on these "
    "images. They are no statement on other noises, cameras or countries, or on conformity with a standard or a law."
)


def write_model_cards(
    folder: Path, subjects: Sequence[Subject], models: Mapping[str, EvaluatedModel], card: DatasetCard, split: Split,
    leaks: Sequence[str] = (), licence: str = LICENCE,
) -> list[Path]:  # fmt: skip
    """<folder>/<model>.md for each network. `card` is that of the evaluated images. Raises EvaluationError."""
    paths = []
    for subject in subjects:
        for place, name in enumerate(subject.models):
            path = folder / f"{folder_name(name)}.md"
            with replacing(path) as partial:
                partial.write_text(model_card(models[name], subject, place, card, split, leaks, licence))
            paths.append(path)
    return paths


def model_card(
    model: EvaluatedModel, subject: Subject, place: int, card: DatasetCard, split: Split,
    leaks: Sequence[str] = (), licence: str = LICENCE,
) -> str:  # fmt: skip
    """Of the network `place` of `subject`. `leaks` are sentences on evaluated images that were trained on, `licence`
    that of the weights, as the Hub names it."""
    found = _shown(subject, place)
    facts = plain_yaml(_front_matter(subject.models[place], model.classifier, found, card, split, licence))
    parts = (
        [f"# {subject.models[place]}", *_what_it_is(model, subject, place, card, licence)],
        ["## Training", *_training(model.classifier.about)],
        ["## Accuracy", *_accuracies(found, card, split), *_over_seeds(subject)],
        ["## Limits", *_limits(model.classifier, subject, found, leaks)],
    )
    return f"---\n{facts}---\n\n" + "\n\n".join(text for part in parts for text in part) + "\n"


def _shown(subject: Subject, place: int) -> dict[str, Predictions]:
    """Adversarial images are those of the first network alone."""
    return {variant: seeds[place] for variant, seeds in subject.found.items()} | (
        dict(subject.attacked) if place == 0 else {}
    )


def _front_matter(
    name: str,
    classifier: AnyClassifier,
    found: Mapping[str, Predictions],
    card: DatasetCard,
    split: Split,
    licence: str,
) -> dict[str, Any]:
    trained_on = classifier.about.get("card", {}).get("name")
    results = [
        {
            "task": dict(TASK),
            "dataset": {"type": card.name, "name": f"{card.name}, {variant}", "config": variant, "split": split,
                        "revision": one.dataset_digest},
            "metrics": [{"type": "accuracy", "value": round(float(one.right.mean()), 6), "name": _metric(one)}],
        }
        for variant, one in found.items()
    ]  # fmt: skip
    return {
        "license": licence,
        "library_name": "pytorch",
        "pipeline_tag": TASK["type"],
        "tags": ["robustness"],
        **({"datasets": [trained_on]} if trained_on else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": results}],
    }


def _metric(found: Predictions) -> str:
    ends = _ends(found.units.proportion(found.right))
    return f"Accuracy, 95 % interval {ends} %, {UNITS_SAID[found.units.unit]}"


def _ends(interval: Interval) -> str:
    return (
        "–"
        if interval.low is None or interval.high is None
        else f"{_percent(interval.low)} – {_percent(interval.high)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _what_it_is(model: EvaluatedModel, subject: Subject, place: int, card: DatasetCard, licence: str) -> Iterator[str]:
    shape, recipe = model.classifier.shape, f"recipe {subject.label}"
    of = (
        f"the only network of {recipe}" if subject.seeds == 1 else f"network {place + 1} of {subject.seeds} of {recipe}"
    )
    yield (
        f"Puts an image of {shape.size_px} × {shape.size_px} px and {shape.channels} channels, with values in [0, 1], "
        f"in one of {shape.num_classes} classes; {of}."
    )
    lines = [f"- digest of the weights: `{model.classifier.digest}`", f"- run: {model.run or 'not tracked'}"]
    if licence == LICENCE:
        lines.append("- licence of the weights: not declared; the images trained on have one of their own, below")
    yield "\n".join(lines)
    yield "## Intended use"
    yield (
        f"For images like those of {card.name}, cut out and brought to size in the same way "
        f"({model.classifier.geometry or 'geometry unknown'}). It does not find objects in a scene, and it has no "
        "class for anything else: whatever it is shown gets one of its classes."
    )


def _training(about: Mapping[str, Any]) -> Iterator[str]:
    if not about:
        yield "Nothing is recorded: the network was not trained by this program."
        return
    digests, settings = about.get("datasets", {}), about.get("settings", {})
    shares = settings.get("data", {}).get("mixture", {})
    yield "Trained on these variants, by the content digests of their manifests:"
    yield _table(
        ["variant", "share", "content digest"],
        [[name, f"{shares[name]:g}" if name in shares else "", f"`{digest}`"] for name, digest in digests.items()],
    )
    if card := about.get("card"):
        citation, licence = (card[key].rstrip(".") for key in ("citation", "licence"))
        yield f"Cite for {card['name']}: {citation}. Licence of the images: {licence}."
    if weights := about.get("weights"):
        yield f"It started from the weights {weights.get('file')}, SHA-256 `{weights.get('sha256')}`."
    if teachers := about.get("teachers"):
        yield f"It was taught by the networks {', '.join(f'`{digest}`' for digest in teachers)}."
    yield "The settings that decide on the weights:"
    yield f"```yaml\n{plain_yaml(_decisive(settings))}```"


def _decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}
    if "data" in kept:
        kept["data"] = {key: value for key, value in kept["data"].items() if key not in WITHOUT_EFFECT_IN_DATA}
    return kept


def _accuracies(found: Mapping[str, Predictions], card: DatasetCard, split: Split) -> Iterator[str]:
    units = {UNITS_SAID[one.units.unit] for one in found.values()}
    yield f"On {card.name}, split {split}; 95 % intervals {'; '.join(sorted(units))}."
    header = ["variant", "strength", "signal-to-noise ratio, dB", "right, %", "95 % interval", "images", "objects"]
    yield _table(header, [_row(variant, one) for variant, one in found.items()])


def _row(variant: str, found: Predictions) -> list[str]:
    interval = found.units.proportion(found.right)
    assert interval.value is not None
    strength = "attack" if found.attack else found.noise.strength.text if found.noise else ""
    return [
        variant, strength, "" if found.snr_db is None else f"{found.snr_db:.1f}", _percent(interval.value),
        _ends(interval), f"{interval.images:,}", "unknown" if interval.groups is None else f"{interval.groups:,}",
    ]  # fmt: skip


def _over_seeds(subject: Subject) -> Iterator[str]:
    if subject.seeds > 1 and CLEAN in subject.found:
        clean = subject.accuracy(CLEAN)
        assert clean.value is not None
        yield (
            f"Over the {subject.seeds} seeds of the recipe, clean images: {_percent(clean.value)} % right "
            f"({_ends(clean)}, over objects and seeds)."
        )


def _limits(
    classifier: AnyClassifier, subject: Subject, found: Mapping[str, Predictions], leaks: Sequence[str]
) -> Iterator[str]:
    limits = [EVIDENCE]
    if subject.seeds == 1:
        limits.append("A single seed: another training of the same recipe may differ by more than the intervals.")
    worst = min(found, key=lambda variant: float(found[variant].right.mean()))
    limits.append(f"Its lowest accuracy is {_percent(float(found[worst].right.mean()))} %, under {worst}.")
    if any(one.units.unit in ("unknown", "estimated") for one in found.values()):
        limits.append("It is not known which images show one object, so the intervals may be too narrow.")
    if not any(one.attack for one in found.values()):
        limits.append("It was not shown adversarial images.")
    yield "\n".join(f"- {one}" for one in (*limits, *leaks, *classifier.notes))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
