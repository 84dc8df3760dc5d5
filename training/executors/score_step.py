"""A classifier on an executor: from images to predictions with confidences."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.store.image_batches import Scores
from training.executors.errors import ExecutorError
from training.executors.task_device import read_network, task_device

__all__ = ["ScoreStep"]


class ScoreStep:
    """Passes `batch_size` images at a time through `network`."""

    def __init__(self, network: nn.Module, batch_size: int, device: torch.device) -> None:
        self.network = network
        self.batch_size = batch_size
        self.device = device

    @classmethod
    def opened(cls, path: Path, batch_size: int, threads: int, gpu: str | None) -> "ScoreStep":
        """Uses `threads` threads, and the GPU of that address or the CPU. Raises CheckpointError, ExecutorError."""
        device = task_device(threads, gpu)
        return cls(read_network(path, device), batch_size, device)

    def __call__(self, pixels: NDArray[np.uint8] | NDArray[np.float32]) -> Scores:
        """The scores of images (N, size_px, size_px, channels), uint8, or float32 in [0, 1]. Raises ExecutorError if a
        logit is not finite."""
        scores = Scores(np.empty(len(pixels), np.int32), np.empty(len(pixels), np.float32))
        for start in range(0, len(pixels), self.batch_size):
            rows = slice(start, start + self.batch_size)
            confidences, predictions = self._probabilities(pixels[rows]).max(dim=1)
            if not confidences.isfinite().all():
                raise ExecutorError("the model gives logits that are not finite; train it again, with a smaller lr")
            scores.predictions[rows] = predictions.cpu().numpy()
            scores.confidences[rows] = confidences.cpu().numpy()
        return scores

    def _probabilities(self, pixels: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        if not images.is_floating_point():
            images = images.to(torch.float32).div_(255)  # on the CPU: division on a GPU differs in the last bit
        with torch.inference_mode():
            logits: torch.Tensor = self.network(images.to(self.device))
        return logits.float().softmax(dim=1)
