"""Passes over the training images as epochs of a given number of steps."""

from collections.abc import Iterator
from itertools import islice

from pipelines.errors import StreamError
from training.streams.stream import Batch, Batches, Epochs

__all__ = ["Rounds"]


class Rounds(Epochs):
    """Epochs of `steps` steps, which take the passes over `batches` one after the other and may end within one.

    A pass gives its whole batches only, so that all batch statistics are those of equally many images: fewer images
    than a batch are left out of it, others each time. Raises StreamError if there is no whole batch."""

    def __init__(self, batches: Batches, steps: int) -> None:
        share = batches.share
        super().__init__(steps * share.global_batch_size, batches.seed, share)
        self.batches = batches
        self.steps_per_pass = batches.images // share.global_batch_size
        if not self.steps_per_pass:
            raise StreamError(
                f"batch_size={share.global_batch_size}: there are only {batches.images} training images; lower it"
            )

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        place, end = epoch * len(self) + start_step, (epoch + 1) * len(self)
        while place < end:
            number, step = divmod(place, self.steps_per_pass)
            count = min(end - place, self.steps_per_pass - step)
            yield from islice(self.batches.epoch(number, step), count)
            place += count
