"""The first screen of a report: which noise breaks each network first, and whether another one is safer, in words."""

from collections.abc import Sequence

from pipelines.store.schema import CLEAN
from training.evaluation.report.changes import said_of
from training.evaluation.report.contract import Prose, Section
from training.evaluation.report.curves import Failure
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.comparison import Comparison
from training.evaluation.robustness.thresholds import Criterion

__all__ = ["UNITS_SAID", "answer_section", "first_to_break"]

UNITS_SAID = {
    "group": "by physical object", "recovered group": "by physical object, recovered from the images",
    "image": "by image, each of an object of its own", "estimated": "by image, widened by an estimated design effect",
    "unknown": "by image, since the objects are unknown: it may be too narrow",
}  # fmt: skip


def answer_section(
    subjects: Sequence[Subject],
    failures: Sequence[Failure],
    comparisons: Sequence[tuple[Subject, Subject, Comparison]],
    criterion: Criterion,
) -> Section:
    said = [
        _of(subject, [one for one in failures if one.subject.letter == subject.letter], criterion)
        for subject in subjects
    ]
    for before, after, found in comparisons:
        said.append(". ".join(map(_capital, said_of(before, after, found))) + ".")
    return Section("answer", "The answer", [Prose(said)])


def first_to_break(failures: Sequence[Failure]) -> list[Failure]:
    """Of one subject, the noises that break it at a strength between those shown, at the highest signal-to-noise ratio
    first; those of unknown ratio last."""
    return sorted(
        (one for one in failures if one.threshold.measured),
        key=lambda one: -one.snr_db if one.snr_db is not None else float("inf"),
    )


def _of(subject: Subject, failures: Sequence[Failure], criterion: Criterion) -> str:
    start = f"{subject.label} ({subject.seeds_said})"
    if CLEAN in subject.found:
        clean = subject.accuracy(CLEAN)
        assert clean.value is not None and clean.low is not None and clean.high is not None
        start += (
            f" has {100 * clean.value:.1f} % of the clean images right (95 % interval {100 * clean.low:.1f} – "
            f"{100 * clean.high:.1f}, {UNITS_SAID[clean.unit]})"
        )
    if not failures:
        return f"{start}. {_lowest(subject)}"
    broken = first_to_break(failures)
    below = [one for one in failures if one.threshold.reached and not one.threshold.measured]
    held = [one for one in failures if not one.threshold.reached]
    sentences = [start]
    if broken:
        first, *others = broken
        ladder = first.threshold.ladder
        ratio = "" if first.snr_db is None else f", at a signal-to-noise ratio of {first.snr_db:.0f} dB"
        sentences.append(
            f"{_capital(_noise(first))} noise breaks it first: below {criterion.text} from {first.threshold.text} "
            f"{ladder.unit} on (95 % interval {first.threshold.interval_text}; {ladder.quantity}){ratio}"
        )
        if others:
            sentences.append(f"Then {', '.join(f'{_noise(one)} from {_short(one)} on' for one in others)}")
    if below:
        sentences.append(f"Already below the weakest strength shown: {', '.join(map(_noise, below))}")
    if held:
        named = ", ".join(
            f"{_noise(one)} ({one.threshold.ladder.strongest:g} {one.threshold.ladder.unit})" for one in held
        )
        sentences.append(f"It holds up to the strongest {named}")
    return ". ".join(sentences) + "."


def _noise(failure: Failure) -> str:
    return failure.threshold.ladder.name.replace("salt_pepper", "salt & pepper").replace("_", " ")


def _short(failure: Failure) -> str:
    ratio = "" if failure.snr_db is None else f" ({failure.snr_db:.0f} dB)"
    return f"{failure.threshold.text} {failure.threshold.ladder.unit}".rstrip() + ratio


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lowest(subject: Subject) -> str:
    noisy = [variant for variant in subject.found if variant != CLEAN]
    if not noisy:
        return "It was shown clean images only, which say nothing about noise."
    worst = min(noisy, key=lambda variant: subject.accuracy(variant).value or 0.0)
    found = subject.accuracy(worst)
    assert found.value is not None and found.low is not None and found.high is not None
    return (
        f"Its lowest accuracy is {100 * found.value:.1f} % ({100 * found.low:.1f} – {100 * found.high:.1f}) under "
        f"{worst}; there are too few strengths of a noise to say from which one on it fails."
    )
