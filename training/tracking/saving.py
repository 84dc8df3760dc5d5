"""A network as an MLflow model of the flavour `pytorch`."""

import copy
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from mlflow import pytorch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn

__all__ = ["save_model"]


def save_model(network: nn.Module, images: torch.Tensor, folder: Path) -> None:
    still = copy.deepcopy(network).to("cpu", torch.float32).eval()
    example = images[:2].detach().to("cpu", torch.float32)
    example = example.expand(2, -1, -1, -1) if len(example) == 1 else example  # one image would fix N = 1
    with torch.no_grad():
        logits = still(example)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.numpy().dtype, (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(logits.numpy().dtype, (-1, *logits.shape[1:]))]),
    )
    requirements = [f"{library}=={version(library)}" for library in ("mlflow", "torch")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns about its own type hints, torch about details of the export
        pytorch.save_model(
            still, str(folder), signature=signature, input_example=example.numpy(), pip_requirements=requirements,
            serialization_format="pt2",
        )  # fmt: skip
