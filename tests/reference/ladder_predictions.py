"""Predictions of made-up networks at strengths of Gaussian noise, for tests of thresholds and of the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.noise import NOISES
from pipelines.store.shown import Shown
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.report.subjects import Subject

SIGNS, FRAMES, CLASSES = 40, 10, 4
STRENGTHS = (0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0)
LEVELS = {0.0: "none", 5.0: "min", 20.0: "avg", 40.0: "max"}


def shown(strength: float) -> Shown:
    return Shown() if strength == 0 else Shown("gaussian", LEVELS.get(strength, f"{strength:g}"))


def predictions(right: np.ndarray[Any, Any], strength: float, **fields: Any) -> Predictions:
    """`right` (N,) of images in order of signs; a wrong image is taken for the next class."""
    sign = np.repeat(np.arange(SIGNS), FRAMES)
    labels = (sign % CLASSES).astype(np.int64)
    predicted = np.where(right, labels, (labels + 1) % CLASSES)
    probabilities = np.full((len(labels), CLASSES), 0.05, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.85
    noise = None if strength == 0 else NOISES["gaussian"](std_grey=strength)
    ratio = None if strength == 0 else float(40 - 20 * np.log10(strength))
    values: dict[str, Any] = {
        "variant": shown(strength).variant, "recorded": shown(strength), "class_names": ("stop", "yield", "20", "30"),
        "groups": np.char.add("sign ", sign.astype(np.str_)), "noise": noise, "snr_db": ratio, **fields,
    }  # fmt: skip
    ids = np.array([f"test/{number:05d}" for number in range(len(labels))])
    return Predictions(ids, labels, predicted, probabilities, f"digest of {strength}", **values)


def network(
    middle: float, seed: int = 0, strengths: Sequence[float] = STRENGTHS, **fields: Any
) -> dict[str, Predictions]:
    """By variant. An image fails at a strength of its own around `middle`, that of one sign's images alike."""
    random = np.random.default_rng(seed)
    own = np.repeat(random.normal(0, 0.3, SIGNS), FRAMES) + random.normal(0, 0.3, SIGNS * FRAMES)
    lapses = random.random(SIGNS * FRAMES) < 0.03
    found = {}
    for strength in strengths:
        failed = np.full(len(own), False) if strength == 0 else np.log(strength / middle) > own
        one = predictions(~(failed | lapses), strength, **fields)
        found[one.variant] = one
    return found


def subject(letter: str, *middles: float, name: str = "cnn") -> Subject:
    """A recipe whose seeds fail around `middles`."""
    seeds = [network(middle, seed=7) for middle in middles]
    models = [f"{name}-seed{number}" for number in range(len(middles))]
    return Subject(letter, name, models, {variant: [seed[variant] for seed in seeds] for variant in seeds[0]}, {})


def by_model(*subjects: Subject) -> dict[tuple[str, str], Predictions]:
    """As in Result.predictions."""
    return {
        (model, variant): found[place]
        for one in subjects
        for place, model in enumerate(one.models)
        for variant, found in one.found.items()
    }
