"""What each recipe looks at: saliency maps before and after the noise that breaks it first."""

from collections.abc import Mapping, Sequence

from pipelines.store.schema import CLEAN, Split
from training.evaluation.report.answer import first_to_break
from training.evaluation.report.contract import Block, Picture, Prose, Section
from training.evaluation.report.curves import Failure
from training.evaluation.report.matrix import named_levels
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.evaluation.saliency.settings import Saliency
from training.streams.stream import Data

__all__ = ["look_section"]


def look_section(
    subjects: Sequence[Subject], failures: Sequence[Failure], models: Mapping[str, EvaluatedModel], settings: Saliency,
    data: Mapping[str, Data], split: Split,
) -> Section:  # fmt: skip
    """Of the first network of each recipe, under the strongest named level of the noise that breaks it first, or, if
    none does, of the one that leaves it the least accuracy. `data` by model. Raises StreamError and EvaluationError."""
    from training.evaluation.saliency.choosing import saliency_figures  # captum takes seconds to import

    blocks: list[Block] = []
    for subject in subjects:
        name = subject.models[0]
        found = {variant: seeds[0] for variant, seeds in subject.found.items()}
        variant = _worst_variant(subject, failures)
        drawn, said = saliency_figures(
            settings,
            subject.label,
            models[name].classifier,
            found,
            [variant] if variant else [],
            data[name],
            split,
            stacked=True,
        )
        caption = (
            f"{subject.label}, {variant}: above images that are still right after the weakest level, below images "
            "that are wrong; each with its maps before and after the noise, scaled by themselves."
        )
        blocks += [Picture(f"saliency_{subject.letter}", one, caption, caption, True) for one in drawn.values()]
        blocks += [Prose([_sentence(one)]) for one in said]
    meaning = (
        "Saliency maps show which pixels the predicted class depends on, by three methods that need not agree. They "
        "are a hint at why a network fails, not a measurement of it."
    )
    return Section("looks", "What does it look at when it fails?", [Prose([meaning]), *blocks])


def _worst_variant(subject: Subject, failures: Sequence[Failure]) -> str | None:
    named = [variant for variant in named_levels([subject]) if variant != CLEAN]
    broken = first_to_break([one for one in failures if one.subject.letter == subject.letter])
    if broken:
        own = [rung.variant for rung in broken[0].threshold.ladder.rungs if rung.variant in named]
        named = own[-1:] or named
    return min(named, key=lambda variant: float(subject.found[variant][0].right.mean()), default=None)


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}."
