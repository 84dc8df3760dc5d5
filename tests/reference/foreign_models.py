"""Models from outside: factories, good and bad, and the same networks as exported files."""

from pathlib import Path

import torch
from small_attacks import SIZE_PX, classifier
from torch import nn

DRAWS = 3 * SIZE_PX**2


def ours() -> nn.Module:
    return classifier().network


def linear(classes: int = 43, size_px: int = SIZE_PX) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * size_px**2, classes))


def ten_classes() -> nn.Module:
    return linear(10)


def larger() -> nn.Module:
    return linear(size_px=2 * SIZE_PX)


def probabilities() -> nn.Module:
    return nn.Sequential(*linear(), nn.Softmax(1))


def no_module() -> int:
    return 3


def failing() -> nn.Module:
    raise RuntimeError("no weights\nhere")


def per_pixel() -> nn.Module:
    return nn.Conv2d(3, 43, 1)


def random() -> nn.Module:
    return nn.Sequential(nn.Flatten(), AlwaysDropout(), nn.Linear(DRAWS, 43))


def of_batch() -> nn.Module:
    return nn.Sequential(OfBatch(), nn.Flatten(), nn.Linear(DRAWS, 43))


def without_gradients() -> nn.Module:
    return NoGradients(linear())


class AlwaysDropout(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(images, 0.5, training=True)


class OfBatch(nn.Module):
    """As batch norm in training mode."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.mean(0)


class NoGradients(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = self.inner(images)
        return logits


def write_pt2(path: Path, network: nn.Module, batch: int | None = None) -> Path:
    """For any size of batch from 2, or for one."""
    example = (torch.rand(batch or 2, 3, SIZE_PX, SIZE_PX),)
    shapes = None if batch else ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network.eval(), example, dynamic_shapes=shapes), path)
    return path


def write_onnx(path: Path, network: nn.Module, batch: int | None = None, beside: bool = False) -> Path:
    example = (torch.rand(batch or 2, 3, SIZE_PX, SIZE_PX),)
    shapes = None if batch else ({0: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(
        network.eval(), example, str(path), dynamo=True, dynamic_shapes=shapes, external_data=beside, verbose=False
    )
    return path
