"""Checks that a report makes by itself, so that a wrong number does not look like a result."""

from collections.abc import Mapping, Sequence

from pipelines.datasets.card import DatasetCard
from pipelines.store.schema import Split
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.report.contract import Block, Cell, Gate, Grid, Prose, Section
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.ladders import find_ladders
from training.streams.stream import Data, open_stream

__all__ = ["find_gates", "gate_section", "leaks_of"]

LEAST_SEEDS = 3
MAX_NAMED = 3


def find_gates(
    subjects: Sequence[Subject], models: Mapping[str, AnyClassifier], flags: Sequence[str], leaks: Sequence[str]
) -> list[Gate]:
    """`flags` are those of the attacks and of images that were trained on (Result.flags), `leaks` those of the data."""
    return [
        Gate("Accuracy does not rise with the strength of a noise", _rising(subjects)),
        Gate("Every variant shows the same images", _unequal(subjects)),
        Gate("No image of the training shows up again in the evaluated split", leaks),
        Gate("No mirrored images whose label changes were trained on", _mirrored(models)),
        Gate("Attacks are not stuck, and no evaluated split was trained on", list(flags)),
        Gate(f"At least {LEAST_SEEDS} seeds of each recipe", _few_seeds(subjects)),
        Gate("Intervals count physical objects", _without_groups(subjects)),
    ]


def gate_section(gates: Sequence[Gate]) -> Section:
    rows = [
        [Cell(gate.name), Cell("holds", tone="good") if not gate.broken else Cell("BROKEN", tone="bad")]
        for gate in gates
    ]
    blocks: list[Block] = [Grid("gates", "Checks that this report made by itself", ["check", "result"], rows)]
    broken = [sentence for gate in gates for sentence in gate.broken]
    if broken:
        blocks.append(Prose(broken, listed=True))
    return Section("gates", "Can these numbers be trusted?", blocks)


def leaks_of(data: Data, split: Split, variant: str) -> tuple[DatasetCard, list[str]]:
    """The card of the data set, and a sentence on groups of pixel-identical images that the source has in the evaluated
    split and in another one. Raises StreamError."""
    stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), split, seed=0, batch_size=1)
    card = stream.source.card
    across = stream.source.variants[variant].manifest.source.get("duplicates_across_splits", [])
    own = [names for names in across if any(name.startswith(f"{split}/") for name in names)]
    if not own:
        return card, []
    named = "; ".join(", ".join(names) for names in own[:MAX_NAMED])
    more = f" and {len(own) - MAX_NAMED} more" if len(own) > MAX_NAMED else ""
    return card, [f"{len(own)} groups of identical images are in {split} and in another split: {named}{more}"]


def _rising(subjects: Sequence[Subject]) -> list[str]:
    """Where the interval at a stronger level lies above that at a weaker one."""
    found = []
    for subject in subjects:
        for ladder in find_ladders({variant: seeds[0] for variant, seeds in subject.found.items()}):
            lowest, weakest = None, ""
            for rung in ladder.rungs:
                here = subject.accuracy(rung.variant)
                assert here.low is not None and here.high is not None
                if lowest is not None and here.low > lowest:
                    found.append(f"{subject.label}: accuracy rises from {weakest} to {rung.variant}")
                if lowest is None or here.high < lowest:
                    lowest, weakest = here.high, rung.variant
    return found


def _unequal(subjects: Sequence[Subject]) -> list[str]:
    found = []
    for subject in subjects:
        counts = {variant: len(seeds[0].image_ids) for variant, seeds in subject.found.items()}
        most = max(counts.values(), default=0)
        fewer = [f"{variant} ({count:,})" for variant, count in counts.items() if count < most]
        if fewer:
            found.append(f"{subject.label}: {most:,} images, but fewer of {', '.join(fewer[:MAX_NAMED])}")
    return found


def _mirrored(models: Mapping[str, AnyClassifier]) -> list[str]:
    return [
        f"{name}: trained with augmentation.flips=all, which mirrors signs whose mirror image has another label"
        for name, classifier in models.items()
        if classifier.about.get("settings", {}).get("augmentation", {}).get("flips") == "all"
    ]


def _few_seeds(subjects: Sequence[Subject]) -> list[str]:
    return [
        f"{subject.label}: {subject.seeds_said}; another seed of the same recipe may differ by more than the interval"
        for subject in subjects
        if subject.seeds < LEAST_SEEDS
    ]


def _without_groups(subjects: Sequence[Subject]) -> list[str]:
    unknown = [
        subject.label
        for subject in subjects
        if any(seeds[0].units.unit in ("unknown", "estimated") for seeds in subject.found.values())
    ]
    if not unknown:
        return []
    return [
        f"{', '.join(unknown)}: it is not recorded which images show one object; use groups=recovered with the file "
        "that jobs/recover_tracks.py makes"
    ]
