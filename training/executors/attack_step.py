"""The attack on an executor: from the images of a row group to adversarial images of every strength."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.settings import choose
from pipelines.store.image_batches import AttackedImages, SourceImages
from training.attacks import (
    ATTACKS,
    Attack,
    Attacked,
    Eps,
    FixedStrength,
    LabelledImages,
    MinimalPerturbation,
    SnrDb,
    Strength,
)
from training.executors.generators import with_generator
from training.executors.task_device import read_network, task_device

__all__ = ["AttackStep"]

RATIOS = ("snr_db_asked", "snr_db_before_clamp", "snr_db", "snr_db_uint8")


class AttackStep:
    """Attacks `batch_size` images at a time; `strengths` by variant."""

    def __init__(
        self,
        network: nn.Module,
        attack: Attack,
        strengths: Mapping[str, Strength | None],
        seed: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.network = network
        self.attack = attack
        self.strengths = strengths
        self.seed = seed
        self.batch_size = batch_size
        self.device = device

    @classmethod
    def opened(
        cls, path: Path, attack: Mapping[str, Any], strengths: Mapping[str, Mapping[str, float] | None], seed: int,
        batch_size: int, threads: int, gpu: str | None,
    ) -> "AttackStep":  # fmt: skip
        """The classifier at `path` and the attack that `attack` describes, with `threads` threads, on the GPU of that
        address or on the CPU. A generator's file is beside the classifier's. Raises CheckpointError, AttackError,
        ExecutorError."""
        device = task_device(threads, gpu)
        opened = with_generator(choose(ATTACKS, dict(attack)), path.parent, device)
        by_variant = {name: _strength(strength) for name, strength in strengths.items()}
        return cls(read_network(path, device), opened, by_variant, seed, batch_size, device)

    def __call__(self, source: SourceImages) -> list[AttackedImages]:
        """One result for each variant. Raises AttackError, which names images."""
        made = [_empty(variant, source) for variant in self.strengths]
        for start in range(0, len(source.labels), self.batch_size):
            rows = slice(start, start + self.batch_size)
            pixels = torch.from_numpy(source.pixels[rows]).permute(0, 3, 1, 2)
            images = pixels.to(torch.float32).div_(255)  # on the CPU: division on a GPU differs in the last bit
            labels = torch.tensor(source.labels[rows], dtype=torch.int64, device=self.device)
            examples = LabelledImages(images.to(self.device), labels, source.image_ids[rows], self.seed)
            with _watched(self.network, examples.images) as seen:
                results = self._attacked(examples)
            before = seen[0] if seen else self._predicted(examples.images)
            for into, result in zip(made, results, strict=True):
                torch.from_numpy(into.pixels[rows]).copy_(result.images.permute(0, 2, 3, 1))
                for name in RATIOS:
                    getattr(into, name)[rows] = getattr(result, name).cpu().numpy()
                into.prediction_before[rows] = before.cpu().numpy()
                into.prediction_after[rows] = self._predicted(result.images).cpu().numpy()
        return made

    def _attacked(self, examples: LabelledImages) -> list[Attacked]:
        if isinstance(self.attack, FixedStrength):
            return self.attack(self.network, examples, [one for one in self.strengths.values() if one is not None])
        assert isinstance(self.attack, MinimalPerturbation)
        return [self.attack(self.network, examples)]

    def _predicted(self, images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            classes: torch.Tensor = self.network(images).argmax(1)
        return classes


def _strength(given: Mapping[str, float] | None) -> Strength | None:
    if given is None:
        return None
    return SnrDb(given["snr_db"]) if "snr_db" in given else Eps(given["eps"])


def _empty(variant: str, source: SourceImages) -> AttackedImages:
    images = len(source.labels)
    ratios = {name: np.empty(images, np.float32) for name in RATIOS}
    return AttackedImages(
        variant=variant,
        pixels=np.empty(source.pixels.shape, np.float32),
        prediction_before=np.empty(images, np.int32),
        prediction_after=np.empty(images, np.int32),
        **ratios,
    )


@contextmanager
def _watched(network: nn.Module, images: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """The predictions for exactly this tensor whenever the network is called with it, which saves a pass."""
    seen: list[torch.Tensor] = []

    def look(_: nn.Module, inputs: tuple[Any, ...], logits: torch.Tensor) -> None:
        if not seen and inputs[0].shape == images.shape and inputs[0].data_ptr() == images.data_ptr():
            seen.append(logits.detach().argmax(1))

    hook = network.register_forward_hook(look)
    try:
        yield seen
    finally:
        hook.remove()
