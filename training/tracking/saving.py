"""A network as an MLflow model of the flavours `pytorch` and, where class names are known, `python_function`."""

import copy
import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from mlflow import pytorch
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from torch import nn

from training.tracking import images_model

__all__ = ["save_model"]


def save_model(
    network: nn.Module, images: torch.Tensor, folder: Path, class_names: Sequence[str] = (), geometry: str = ""
) -> None:
    """`images` (N, channels, S, S), float32 in [0, 1]. With `class_names`, python_function takes uint8 images of any
    size, which `geometry` makes square; without, what the network takes."""
    still = copy.deepcopy(network).to("cpu", torch.float32).eval()
    example = images[:2].detach().to("cpu", torch.float32)
    example = example.expand(2, -1, -1, -1) if len(example) == 1 else example  # one image would fix N = 1
    with torch.no_grad():
        logits = still(example)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.numpy().dtype, (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(logits.numpy().dtype, (-1, *logits.shape[1:]))]),
    )
    libraries = ("mlflow", "torch", *(("numpy", "pandas", "pillow") if class_names else ()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns about its own type hints, torch about details of the export
        pytorch.save_model(
            still, str(folder), signature=signature, input_example=example.numpy(),
            pip_requirements=[f"{library}=={version(library)}" for library in libraries], serialization_format="pt2",
            code_paths=[images_model.__file__] if class_names else None,
        )  # fmt: skip
    if class_names:
        about = {"geometry": geometry, "size_px": example.shape[-1], "class_names": list(class_names)}
        (folder / "data" / images_model.DESCRIPTION).write_text(json.dumps(about), encoding="utf-8")
        _take_images(folder, (example * 255).round().to(torch.uint8).permute(0, 2, 3, 1))


def _take_images(folder: Path, example: torch.Tensor) -> None:
    """Lets python_function load images_model.py, and describes its input and output; the flavour pytorch stays as it
    is. `example` (N, height, width, channels), uint8."""
    model = Model.load(str(folder / "MLmodel"))
    loader = {**model.flavors["python_function"], "loader_module": Path(images_model.__file__).stem, "config": {}}
    model.flavors["python_function"] = {key: value for key, value in loader.items() if key != "pickle_module_name"}
    model.signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, example.shape[-1]))]),
        outputs=Schema([ColSpec("string", "class_name"), ColSpec("double", "probability")]),
    )
    model.save(str(folder / "MLmodel"))
    (folder / "input_example.json").write_text(json.dumps(example.tolist()), encoding="utf-8")
    (folder / "serving_input_example.json").write_text(json.dumps({"inputs": example.tolist()}), encoding="utf-8")
