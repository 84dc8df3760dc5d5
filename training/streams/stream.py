"""Parquet → batches of images for PyTorch: each image once per epoch, in an order fixed by the seed.

The order of an epoch is a function of (seed, epoch, dataset) alone, not of workers, pools or ranks: all row groups are
permuted and read in windows of `window_row_groups`; the rows of a window are permuted together. Rank r of W takes the
r-th run of batch_size rows of each global batch (order.Share), so every rank reads every row group: its rows lie in all
of them, reading costs less than training, and this keeps the order independent of the number of ranks.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, field_validator

from pipelines.errors import StreamError
from pipelines.settings import PathOrName, Settings
from pipelines.store.schema import CLEAN, Split
from training.streams.mixing import Memory, MixedWindow
from training.streams.open_split import OpenSplit, open_split
from training.streams.order import Integers, Share, Slot, Window, assign_variants, generator, plan_epoch
from training.streams.row_groups import Pool, Rows, read_row_groups

__all__ = [
    "Batch", "Batches", "Cache", "CachedStream", "Data", "Epochs", "Stream", "open_stream", "to_unit_floats",
]  # fmt: skip

Cache = Literal["none", "host", "device"]
Mixture = dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


class Data(Settings):
    """Which images to read, and how.

    `root` is the folder of a dataset (data/datasets/gtsrb) or an fsspec URL (s3://…). `mixture` is the share of each
    variant; an epoch shows each image once, in one of them. `validation_mixture` is the mixture for validation images
    if it differs: generated variants have none. `window_row_groups` row groups are mixed at a time, while as many are
    read ahead: larger windows mix better and take more memory. `verify` first reads everything and compares it with the
    digests in the manifests."""

    root: PathOrName
    geometry: str = "crop_or_pad"
    size_px: int = Field(default=40, ge=1)
    mixture: Mixture = Field(default={CLEAN: 1.0})
    validation_mixture: Mixture | None = Field(default=None, exclude_if=lambda mixture: mixture is None)
    pool: Pool = "thread"
    workers: int = Field(default=2, ge=1)
    window_row_groups: int = Field(default=8, ge=1)
    verify: bool = False

    @field_validator("mixture", "validation_mixture")
    @classmethod
    def _whole(cls, mixture: dict[str, float] | None) -> dict[str, float] | None:
        if mixture is not None and abs(sum(mixture.values()) - 1) > 1e-6:
            raise ValueError(f"weights must sum to 1, these sum to {sum(mixture.values()):g}")
        return mixture

    def of_split(self, split: Split) -> "Data":
        """These settings with the mixture of this split."""
        if split != "validation" or self.validation_mixture is None:
            return self
        return self.model_copy(update={"mixture": self.validation_mixture})


class Batch(NamedTuple):
    """N images as stored: (N, channels, size_px, size_px), uint8, or float32 in [0, 1], in channels_last memory. Rows
    with `valid` False pad the last batch: exclude them from loss and metrics."""

    image_ids: list[str]
    images: torch.Tensor
    labels: torch.Tensor
    valid: torch.Tensor


class Epochs(ABC):
    """Epochs of batches of `images` images, for one rank; len() is the number of steps per epoch, the same on every
    rank."""

    def __init__(self, images: int, seed: int, share: Share) -> None:
        self.images = images
        self.seed = seed
        self.share = share

    def __len__(self) -> int:
        return self.share.steps(self.images)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `start_step` on, the same each time. Raises StreamError, at the latest before
        the last batch, if the images do not match what the footers of the files say."""
        if not 0 <= start_step <= len(self):
            raise ValueError(f"start_step={start_step}: an epoch has {len(self)} steps")
        return self._epoch(epoch, start_step)

    @abstractmethod
    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]: ...


class Batches(Epochs):
    """Batches of one split of a dataset."""

    def __init__(self, source: OpenSplit, weights: Mapping[str, float], seed: int, share: Share) -> None:
        super().__init__(sum(source.rows), seed, share)
        self.source = source
        self.weights = weights


class Stream(Batches):
    """Reads each epoch from the files. Holds the windows that a global batch spans, reads one window ahead, and reuses
    the memory of a few windows."""

    def __init__(
        self, source: OpenSplit, weights: Mapping[str, float], seed: int, share: Share,
        pool: Pool = "thread", workers: int = 2, window_row_groups: int = 8,
    ) -> None:  # fmt: skip
        super().__init__(source, weights, seed, share)
        self.pool: Pool = pool
        self.workers = workers
        self.window_row_groups = window_row_groups
        self._memory = Memory()

    def read(self, slots: list[Slot]) -> Generator[Rows, None, None]:
        """Row groups in this order."""
        return read_row_groups(self.source, slots, self.pool, self.workers, self.window_row_groups + self.workers)

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        windows = plan_epoch(self.source.rows, self.weights, self.seed, epoch, self.window_row_groups)
        waiting = deque(window for window in windows if window.end > self.share.start(start_step))
        wanted = self.share.wanted(start_step, self.images)
        loaded: deque[MixedWindow] = deque()
        with closing(self.read([slot for window in waiting for slot in window.slots])) as row_groups:
            for step in range(start_step, len(self)):
                rows, valid = self.share.rows(step, self.images)
                while loaded and loaded[0].end <= self.share.start(step):
                    loaded.popleft()
                while waiting and waiting[0].start <= rows.max():
                    loaded.append(self._mix(waiting.popleft(), wanted, row_groups))
                if step == len(self) - 1:
                    deque(row_groups, maxlen=0)  # row groups that only other ranks need are counted too
                image_ids, labels, images = _take(rows, loaded)
                yield Batch(
                    image_ids.tolist(),
                    torch.from_numpy(images).permute(0, 3, 1, 2),
                    torch.from_numpy(labels),
                    torch.from_numpy(valid),
                )

    def _mix(self, window: Window, wanted: Integers, row_groups: Iterator[Rows]) -> MixedWindow:
        mixed = MixedWindow(window, wanted, self.source.image_shape, self.source.pixel_dtype, self._memory)
        for number, rows in enumerate(islice(row_groups, len(window.slots))):
            mixed.add(number, rows)
        return mixed


def _take(rows: Integers, windows: Iterable[MixedWindow]) -> Rows:
    """The given rows of the epoch, taken from the windows that hold them."""
    found = []
    for window in windows:
        inside = (window.start <= rows) & (rows < window.end)
        if inside.all():
            return window.take(rows)
        if inside.any():
            found.append((np.flatnonzero(inside), window.take(rows[inside])))
    back = np.argsort(np.concatenate([places for places, _ in found]))
    return Rows(*(np.concatenate(parts)[back] for parts in zip(*(taken for _, taken in found), strict=True)))


class CachedStream(Batches):
    """Reads all variants of a split once, through a stream, into one tensor on `device`, and serves epochs from it.

    All images are permuted together and each gets its own variant, so an epoch differs from the stream's, but it is
    also a function of (seed, epoch, dataset) alone. Every rank holds the whole split, or the images of `classes`."""

    def __init__(self, stream: Stream, device: torch.device, classes: Sequence[int] | None = None) -> None:
        super().__init__(stream.source, stream.weights, stream.seed, stream.share)
        self.device = device
        self._names = sorted(stream.weights)
        shape, dtype = self.source.image_shape, getattr(torch, self.source.pixel_dtype)
        self._pixels = torch.empty((len(self._names) * self.images, *shape), dtype=dtype, device=device)
        slots = [Slot(name, group) for name in self._names for group in range(len(self.source.rows))]
        first: list[Rows] = []
        start = 0
        with closing(stream.read(slots)) as row_groups:
            for slot, rows in zip(slots, row_groups, strict=True):
                self._pixels[start : start + len(rows.labels)] = torch.from_numpy(rows.images.copy())
                start += len(rows.labels)
                if slot.variant == self._names[0]:
                    first.append(rows._replace(images=rows.images[:0]))
                elif not np.array_equal(rows.image_ids, first[slot.row_group].image_ids):
                    raise StreamError(
                        f"{slot.variant} and {self._names[0]} cannot be mixed: their rows are in another order; "
                        "make both in one run of spark-submit jobs/make_noisy_datasets.py"
                    )
        self._image_ids = np.concatenate([rows.image_ids for rows in first])
        self._labels = torch.from_numpy(np.concatenate([rows.labels for rows in first])).to(device)
        if classes is not None:
            self._keep(classes)

    def _keep(self, classes: Sequence[int]) -> None:
        there = torch.unique(self._labels).tolist()
        if missing := sorted(set(classes) - set(there)):
            raise StreamError(
                f"classes {missing}: split {self.source.split} has no images of them; it has images of {there}"
            )
        kept = torch.isin(self._labels, torch.tensor(classes, device=self.device))
        self._pixels = self._pixels[kept.repeat(len(self._names))]
        self._labels = self._labels[kept]
        self._image_ids = self._image_ids[kept.cpu().numpy()]
        self.images = len(self._labels)

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        random = generator(self.seed, epoch)
        variants = assign_variants([self.weights[name] for name in self._names], self.images, random)
        order = random.permutation(self.images)
        for step in range(start_step, len(self)):
            rows, valid = self.share.rows(step, self.images)
            chosen = torch.from_numpy(order[rows]).to(self.device)
            where = torch.from_numpy(variants[rows] * self.images + order[rows]).to(self.device)
            yield Batch(
                self._image_ids[order[rows]].tolist(),
                self._pixels.index_select(0, where).permute(0, 3, 1, 2),
                self._labels.index_select(0, chosen),
                torch.from_numpy(valid).to(self.device),
            )


def open_stream(
    data: Data,
    split: Split | Sequence[Split],
    *,
    seed: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    cache: Cache = "none",
    device: torch.device = torch.device("cpu"),  # noqa: B008
    classes: Sequence[int] | None = None,
) -> Batches:
    """Epochs of `split`, or of several as one, shuffled by `seed`, with batch_size images per step on each rank.
    `cache` keeps the images in memory, on the host or on `device`; only then can they be restricted to some `classes`.
    Raises StreamError, which says what to do."""
    if classes is not None and cache == "none":
        raise StreamError(
            "classes: only images in memory can be restricted to some classes; use cache=host or cache=device"
        )
    share = Share(rank, world_size, batch_size)
    source = open_split(data.root, data.geometry, data.size_px, list(data.mixture), split, data.verify)
    stream = Stream(source, data.mixture, seed, share, data.pool, data.workers, data.window_row_groups)
    if cache == "none":
        return stream
    return CachedStream(stream, device if cache == "device" else torch.device("cpu"), classes)


def to_unit_floats(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The images of a batch as float32 in [0, 1] on `device`; they are transferred as stored and converted there."""
    if device.type == "cuda" and not images.is_cuda:
        images = images.pin_memory()
    moved = images.to(device, non_blocking=True)
    return moved if moved.is_floating_point() else moved.to(torch.float32).div_(255)
