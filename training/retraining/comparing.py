"""Compares champion and challenger on the same images, by the rules of the gate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from pipelines.store.schema import ATTACKED, ATTACKED_DIGITS, Split
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import predict, torch_device
from training.evaluation.robustness.curves import find_curves
from training.evaluation.robustness.evaluation import (
    EvaluatedData,
    EvaluatedModel,
    Evaluation,
    Result,
    evaluate,
    write_result,
)
from training.evaluation.robustness.flags import find_flags
from training.retraining.decision import Decision
from training.retraining.gate import Seeds
from training.retraining.record import Contender
from training.retraining.settings import Retrain
from training.streams.stream import Data

__all__ = ["CHALLENGER", "CHAMPION", "ComparedImages", "Comparison", "compare", "evaluated", "seeds_of"]

CHAMPION, CHALLENGER = "champion", "challenger"


class ComparedImages(NamedTuple):
    """What contenders are shown: a dataset, its clean and noisy variants, and the names of the adversarial ones, which
    are made against each network by itself."""

    root: Path
    variants: Sequence[str]
    attacks: Sequence[str]

    def attacked(self, classifiers: Sequence[Classifier]) -> list[str]:
        digests = dict.fromkeys(one.digest[:ATTACKED_DIGITS] for one in classifiers)
        return [f"{attack}/{ATTACKED}={digest}" for attack in self.attacks for digest in digests]


class Comparison(NamedTuple):
    """`images`: content digests of what each network was shown, by contender and cell, in the order of the networks."""

    decision: Decision
    images: Mapping[str, Mapping[str, Sequence[str]]]


def compare(
    settings: Retrain, shown: ComparedImages, champion: Contender | None, challenger: Contender, folder: Path,
    console: Console, trained_on: frozenset[str] | None = frozenset(),
) -> Comparison:  # fmt: skip
    """The decision from the images of settings.split, without signs that the champion was trained on (`trained_on`, ids
    of images). The files of the evaluation of both go to `folder`. Raises RoadsignError."""
    contenders = {CHALLENGER: challenger} if champion is None else {CHAMPION: champion, CHALLENGER: challenger}
    result = evaluated(settings, shown, contenders, settings.split, folder, console)
    found = {name: seeds_of(settings, shown, name, one, result) for name, one in contenders.items()}
    flags = _flags_of(found[CHALLENGER])
    decision = settings.gate.decide(found.get(CHAMPION), found[CHALLENGER], flags, trained_on)
    images = {
        name: {cell: [seed[cell].dataset_digest for seed in seeds] for cell in seeds[0]}
        for name, seeds in found.items()
    }
    return Comparison(decision, images)


def evaluated(
    settings: Retrain,
    shown: ComparedImages,
    contenders: Mapping[str, Contender],
    split: Split,
    folder: Path,
    console: Console,
) -> Result:
    """The evaluation of the networks that serve or would serve, with its files in `folder`."""
    models = {name: EvaluatedModel(one.classifier, one.version.run_id) for name, one in contenders.items()}
    evaluation = Evaluation(
        models=tuple(one.version.run_id for one in contenders.values()),
        data=EvaluatedData(root=str(shown.root), geometry=settings.geometry),
        variants=(*shown.variants, *shown.attacked([one.classifier for one in contenders.values()])),
        split=split,
        batch_size=settings.batch_size,
        device=settings.device,
        output_root=folder,
    )
    result = evaluate(evaluation, models, torch_device(settings.device), console)
    write_result(evaluation, models, result)
    return result


def seeds_of(settings: Retrain, shown: ComparedImages, name: str, contender: Contender, result: Result) -> Seeds:
    """The predictions of all seeds of a contender: those in `result`, and those of its other networks. Images that were
    made against another network are omitted, since they differ between networks."""
    own = {variant: found for (model, variant), found in result.predictions.items() if model == name}
    seeds = [{variant: found for variant, found in own.items() if not found.transfer}]
    others = {str(number): one.classifier for number, one in enumerate(contender.networks[1:], 1)}
    data = Data(root=str(shown.root), geometry=settings.geometry, size_px=contender.size_px)
    given = data, settings.split
    how = torch_device(settings.device), settings.batch_size
    found = predict(others, *given, shown.variants, *how) if others else {}
    for number, classifier in others.items():
        found |= predict({number: classifier}, *given, shown.attacked([classifier]), *how)
    return seeds + [
        {one.shown.variant: one for (which, _), one in found.items() if which == number} for number in others
    ]


def _flags_of(seeds: Seeds) -> list[str]:
    """The flags of the challenger's networks: flags of the champion do not prevent a promotion."""
    sentences: list[str] = []
    for number, seed in enumerate(seeds, 1):
        name = CHALLENGER if len(seeds) == 1 else f"{CHALLENGER}, network {number}"
        measured = {(name, variant): found for variant, found in seed.items()}
        sentences += find_flags(measured, find_curves(measured))
    return sentences
