"""Batches of which a share are images of another data set of the same classes."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field, field_validator

from pipelines.errors import StreamError
from pipelines.settings import PathOrName, Settings
from pipelines.store.schema import CLEAN, Split
from training.streams.order import Share
from training.streams.rounds import Rounds
from training.streams.stream import Batch, Batches, Cache, Data, Epochs, open_stream

__all__ = ["Beside", "Joined", "open_beside"]


class Beside(Settings):
    """`share` of each batch are training images of the data set in `root`, a folder or an fsspec URL, in its variants
    by `mixture`. An epoch has as many steps as without them, so a pass over the other images takes 1 / (1 − share)
    epochs, and trainings with and without are compared at equal steps."""

    root: PathOrName
    share: float = Field(default=0.5, gt=0, lt=1)
    mixture: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default={CLEAN: 1.0})

    @field_validator("mixture")
    @classmethod
    def _whole(cls, mixture: dict[str, float]) -> dict[str, float]:
        return Data(root="", mixture=mixture).mixture

    def images_of(self, batch_size: int) -> int:
        """How many of a batch. Raises StreamError if that is none or all of them."""
        count = round(self.share * batch_size)
        if not 0 < count < batch_size:
            raise StreamError(
                f"beside.share={self.share:g}: of batches of {batch_size} images that is {count}, and both data sets "
                "need one; choose another share or batch_size"
            )
        return count


class Joined(Epochs):
    """Batches of `one` with those of `other` behind them, batch_size images in all. Both give whole batches only, in
    passes of their own that go on from epoch to epoch. An epoch has as many steps as one of `one` alone in batches of
    this size."""

    def __init__(self, one: Batches, other: Batches) -> None:
        shares = one.share, other.share
        share = Share(shares[0].rank, shares[0].world_size, sum(each.batch_size for each in shares))
        steps = share.steps(one.images)
        super().__init__(steps * share.global_batch_size, one.seed, share)
        self.one, self.other = Rounds(one, steps), Rounds(other, steps)

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        for one, other in zip(self.one.epoch(epoch, start_step), self.other.epoch(epoch, start_step), strict=True):
            yield Batch(
                [*one.image_ids, *other.image_ids],
                torch.cat([one.images, other.images]).contiguous(memory_format=torch.channels_last),
                torch.cat([one.labels, other.labels]),
                torch.cat([one.valid, other.valid]),
            )


def open_beside(
    beside: Beside, data: Data, one: Batches, split: Split, batch_size: int, cache: Cache, device: torch.device
) -> Batches:
    """The stream of the other data set, to be joined with `one`: of the same geometry, size and classes. Raises
    StreamError."""
    own = data.model_copy(update={"root": beside.root, "mixture": beside.mixture, "validation_mixture": None})
    share = one.share
    other = open_stream(
        own, split, seed=one.seed, batch_size=beside.images_of(batch_size), rank=share.rank,
        world_size=share.world_size, cache=cache, device=device,
    )  # fmt: skip
    cards = one.source.card, other.source.card
    if cards[0].class_names != cards[1].class_names or cards[0].channels != cards[1].channels:
        raise StreamError(
            f"beside.root={beside.root}: {cards[1].name} has other classes or channels than {cards[0].name} in "
            f"{data.root}; take a data set of the same classes in the same order"
        )
    if one.source.pixel_dtype != other.source.pixel_dtype:
        raise StreamError(
            f"beside.root={beside.root}: pixels are {other.source.pixel_dtype}, those of {data.root} "
            f"{one.source.pixel_dtype}"
        )
    return other
