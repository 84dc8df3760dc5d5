"""The images of a dataset for PyTorch's DataLoader."""

from collections.abc import Iterator, Mapping

import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipelines.store.schema import CLEAN, Split
from training.streams.listing import stored_images
from training.streams.stream import Data, open_stream, to_unit_floats

__all__ = ["SignImages"]

_READ_AT_ONCE = 256


class SignImages(IterableDataset[tuple[torch.Tensor, int]]):
    """(image, label): float32 (channels, size_px, size_px) in [0, 1], and the number of the class.

    `variant` is the name of one, such as gaussian-max, or shares by name, {"clean": 0.5, "gaussian-max": 0.5}; each
    image comes once, in one of them. `size_px` None: the only size that there is. The workers of a DataLoader share the
    images. Their order depends on `seed` and `epoch` alone; set `epoch` before each epoch, for another order. Raises
    StreamError, which says what to do."""

    def __init__(
        self, root: str, variant: str | Mapping[str, float] = CLEAN, split: Split = "train", *,
        geometry: str = "crop_or_pad", size_px: int | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        stored = stored_images(root, geometry, size_px)
        mixture = {variant: 1.0} if isinstance(variant, str) else dict(variant)
        self._data = Data(root=root, geometry=geometry, size_px=stored.size_px, mixture=mixture)
        self.split: Split = split
        self.seed = seed
        self.epoch = 0
        self.class_names = stored.card.class_names
        self._images = open_stream(self._data, split, seed=seed, batch_size=_READ_AT_ONCE).images

    def __len__(self) -> int:
        return self._images

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        worker = get_worker_info()
        rank, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        stream = open_stream(
            self._data, self.split, seed=self.seed, batch_size=_READ_AT_ONCE, rank=rank, world_size=workers
        )
        for batch in stream.epoch(self.epoch):
            images = to_unit_floats(batch.images, torch.device("cpu"))
            yield from zip(images[batch.valid], batch.labels[batch.valid].tolist(), strict=True)
