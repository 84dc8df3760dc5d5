"""How far new images are from those that the champion was trained on: in class, size, colour, and in the champion's own
features.

Frames of one sign are not independent evidence, so one image of each group takes part: of each track of GTSRB. Every
p is from a permutation test: the share of random divisions of all images into old and new ones that are at least as far
apart. It says whether there is a difference; the value says how large it is. Both must pass their bounds to count as
drift."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipelines.errors import RoadsignError
from pipelines.settings import Settings
from training.evaluation.intervals.holm import holm

__all__ = [
    "SCHEMA", "Drift", "DriftError", "Finding", "Images", "Report", "discrepancy", "one_of_each", "psi",
    "smirnov",
]  # fmt: skip

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
MEASURES = 4
SCHEMA = pa.schema(
    [
        pa.field("what", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("value", "bound", "p", "p_corrected")),
        pa.field("drifted", pa.bool_(), nullable=False),
    ]
)
"""The schema of Report.table."""


class DriftError(RoadsignError):
    """Two sets of images cannot be compared."""


class Images(NamedTuple):
    """N images: `tracks` (N,), text, the group of the image, its own id if it has none; `labels` (N,); `sizes_px` (N,),
    the longer side before any geometry, 0 if the source does not annotate it; `channels` (N, c), the mean and standard
    deviation of each channel of each image, or any other c numbers; `features` (N, d), the inputs of the champion's
    last layer."""

    tracks: NDArray[np.str_]
    labels: NDArray[np.integer[Any]]
    sizes_px: NDArray[np.integer[Any]]
    channels: Floats
    features: Floats

    def at(self, rows: Rows) -> "Images":
        return Images(
            self.tracks[rows], self.labels[rows], self.sizes_px[rows], self.channels[rows], self.features[rows]
        )

    def one_of_each_track(self, at_most: int, random: np.random.Generator) -> "Images":
        return self.at(one_of_each(self.tracks, at_most, random))


class Finding(NamedTuple):
    """A row of SCHEMA: `drifted` if value ≥ bound and p_corrected < significance."""

    what: str
    value: float
    bound: float
    p: float
    p_corrected: float
    drifted: bool


class Report(NamedTuple):
    """`old` and `new` are the numbers of images that took part."""

    old: int
    new: int
    findings: tuple[Finding, ...]
    without_sizes: bool = False

    @property
    def drifted(self) -> bool:
        return any(finding.drifted for finding in self.findings)

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_pylist([finding._asdict() for finding in self.findings], SCHEMA)

    @property
    def sentence(self) -> str:
        which = [f"{one.what} ({one.value:.3g}, p = {one.p_corrected:.1g})" for one in self.findings if one.drifted]
        what = f"Drift in {', '.join(which)}" if which else "No drift"
        sizes = " Sizes were not compared: the source does not annotate them." if self.without_sizes else ""
        return f"{what}: {self.new:,} new images compared with {self.old:,} of the training set.{sizes}"


class Drift(Settings):
    """The bounds of the values: class_psi of psi, the two _ks of smirnov, embedding_mmd of discrepancy.

    A stability index of 0.25 is regarded as a major shift in credit scoring (N. Siddiqi, "Credit Risk Scorecards",
    2006). Up to `images` of each set take part. With `resamples` divisions, p is at least 1 / (resamples + 1)."""

    class_psi: float = Field(default=0.25, ge=0)
    size_ks: float = Field(default=0.2, ge=0)
    channel_ks: float = Field(default=0.2, ge=0)
    embedding_mmd: float = 0.0
    significance: float = Field(default=0.01, gt=0, lt=0.5)
    images: int = Field(default=500, ge=2)
    resamples: int = Field(default=999, ge=99)
    seed: int = 0

    @model_validator(mode="after")
    def _can_find_any(self) -> "Drift":
        if MEASURES / (self.resamples + 1) >= self.significance:
            least = int(MEASURES / self.significance)
            raise ValueError(f"resamples={self.resamples}: no p could be significant; use {least} or more")
        return self

    def compare(self, trained_on: Images, new: Images) -> Report:
        """Raises DriftError."""
        random = np.random.default_rng(self.seed)
        for which, images in (("training", trained_on), ("new", new)):
            _check(which, images, trained_on)
        old, new = (images.one_of_each_track(self.images, random) for images in (trained_on, new))
        if min(len(old.tracks), len(new.tracks)) < 2:
            raise DriftError(f"{len(old.tracks)} and {len(new.tracks)} groups are too few to compare; give more images")
        pooled = Images(*(np.concatenate(columns) for columns in zip(old, new, strict=True)))
        kernel = _kernel(pooled.features, len(old.tracks))
        measures: dict[str, tuple[float, Callable[[Rows, Rows], float]]] = {
            "classes": (self.class_psi, lambda a, b: psi(pooled.labels[a], pooled.labels[b])),
            "sizes": (self.size_ks, lambda a, b: smirnov(pooled.sizes_px[a, None], pooled.sizes_px[b, None])),
            "channels": (self.channel_ks, lambda a, b: smirnov(pooled.channels[a], pooled.channels[b])),
            "embedding": (self.embedding_mmd, lambda a, b: discrepancy(kernel, a, b)),
        }
        without_sizes = not (old.sizes_px.any() and new.sizes_px.any())
        if without_sizes:
            del measures["sizes"]
        tested = [self._test(value, len(old.tracks), len(new.tracks), random) for _, value in measures.values()]
        corrected = holm([p for _, p in tested]).tolist()
        return Report(
            len(old.tracks),
            len(new.tracks),
            tuple(
                Finding(what, value, bound, p, p_all, value >= bound and p_all < self.significance)
                for (what, (bound, _)), (value, p), p_all in zip(measures.items(), tested, corrected, strict=True)
            ),
            without_sizes,
        )

    def _test(
        self, value_of: Callable[[Rows, Rows], float], old: int, new: int, random: np.random.Generator
    ) -> tuple[float, float]:
        """The value for the old and the new rows, and its p (B. Phipson, G. Smyth, "Permutation p-values should never
        be zero", 2010)."""
        rows = np.arange(old + new)
        value = value_of(rows[:old], rows[old:])
        divisions = (random.permutation(rows) for _ in range(self.resamples))
        as_far = sum(value_of(division[:old], division[old:]) >= value for division in divisions)
        return value, (1 + as_far) / (1 + self.resamples)


def one_of_each(tracks: NDArray[np.str_], at_most: int, random: np.random.Generator) -> Rows:
    """The row of a random image of each of at most `at_most` random tracks."""
    shuffled = random.permutation(len(tracks))
    _, first = np.unique(tracks[shuffled], return_index=True)
    return random.permutation(shuffled[first])[:at_most]


def psi(old: NDArray[np.integer[Any]], new: NDArray[np.integer[Any]]) -> float:
    """The population stability index Σ (qᵢ − pᵢ) ln(qᵢ / pᵢ) of the shares of the labels. Half an image is added to
    each class that either set has, so that an empty class does not make it infinite."""
    classes = int(max(old.max(), new.max())) + 1
    counts = np.stack([np.bincount(labels, minlength=classes) for labels in (old, new)])
    smoothed = counts[:, counts.any(axis=0)] + 0.5
    p, q = smoothed / smoothed.sum(axis=1, keepdims=True)
    return float(((q - p) * np.log(q / p)).sum())


def smirnov(old: NDArray[Any], new: NDArray[Any]) -> float:
    """The Kolmogorov–Smirnov statistic of (N, c) and (M, c) numbers: the largest distance between their empirical
    distribution functions, 0 … 1, of the column where it is largest."""
    return max(_distance(np.sort(one), np.sort(other)) for one, other in zip(old.T, new.T, strict=True))


def discrepancy(kernel: Floats, old: Rows, new: Rows) -> float:
    """The squared maximum mean discrepancy between the rows of a kernel matrix; unbiased, so it may be slightly
    negative (A. Gretton et al., "A kernel two-sample test", JMLR 13, 2012, equation 3)."""
    among = sum(_mean_of_others(kernel[np.ix_(rows, rows)]) for rows in (old, new))
    return float(among - 2 * kernel[np.ix_(old, new)].mean())


def _kernel(features: Floats, old: int) -> Floats:
    """(x·y / d + 1)³, as in KID, of features divided by the root mean square of the old ones, since their scale is
    arbitrary."""
    from sklearn.metrics.pairwise import (
        polynomial_kernel,  # here: a batch without new images need not spend seconds on the import
    )

    scale = np.sqrt(np.square(features[:old], dtype=np.float64).mean())
    matrix: Floats = polynomial_kernel(features.astype(np.float64) / (scale or 1.0), degree=3)
    return matrix


def _mean_of_others(kernel: Floats) -> float:
    images = len(kernel)
    return float((kernel.sum() - kernel.trace()) / (images * (images - 1)))


def _distance(old: NDArray[Any], new: NDArray[Any]) -> float:
    values = np.concatenate([old, new])
    shares = [np.searchsorted(those, values, side="right") / len(those) for those in (old, new)]
    return float(np.abs(shares[0] - shares[1]).max())


def _check(which: str, images: Images, expected: Images) -> None:
    for name, column, other in zip(Images._fields, images, expected, strict=True):
        if len(column) != len(images.tracks) or column.shape[1:] != other.shape[1:]:
            raise DriftError(f"{name} of the {which} images: {column.shape} numbers; all images need the same shape")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise DriftError(f"{name} of the {which} images are not finite; the images or the champion are not usable")
