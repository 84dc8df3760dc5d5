"""Weights of another training as the start of this one: `model.weights`."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pipelines.errors import SettingsError
from training.classifiers.imagenet import imagenet_file
from training.classifiers.trained import Shape
from training.models import MODELS, Model

__all__ = ["Pretrained", "load_weights"]

WRAPPED_IN = "state_dict"
"""The key under which other trainers keep the weights, beside an optimizer."""
COUNTER = "num_batches_tracked"
"""Of a batch norm; older files lack it, and batch norms with a momentum do not use it."""
SHOWN = 4


class Pretrained(NamedTuple):
    """What the file `file` gave a network of `tensors` tensors: the `matched` ones, `values` numbers in all. `drawn`
    are those of the head that stayed as they were drawn, with the reason; `unused` are tensors of the file that the
    network does not have."""

    file: str
    sha256: str
    matched: int
    tensors: int
    values: int
    drawn: Mapping[str, str]
    unused: tuple[str, ...]
    note: str

    def __str__(self) -> str:
        drawn = ", ".join(f"{name} ({why})" for name, why in self.drawn.items()) or "nothing"
        return (
            f"weights of {self.file}, SHA-256 {self.sha256[:12]}: {self.matched} of {self.tensors} tensors, "
            f"{self.values:,} values; drawn anew: {drawn}; not used: {_some(self.unused) or 'nothing'}{self.note}"
        )


def load_weights(network: nn.Sequential, model: Model, shape: Shape) -> Pretrained:
    """Loads the weights that `model` names into `network`, which shape.build(model) made: all tensors of the body, and
    those of the head if they are for the same number of classes. Raises SettingsError; the network is then
    unchanged."""
    file = imagenet_file(model) if model.weights == "imagenet" else Path(model.weights)
    found, digest = _read(model.weights, file)
    own = network[1].state_dict()
    differs = {name: why for name, tensor in own.items() if (why := _difference(tensor, found.get(name)))}
    drawn = {name: why for name, why in differs.items() if not name.endswith(COUNTER)}
    head = _head(model, shape)
    body = [f"{name} ({why})" for name, why in drawn.items() if name not in head]
    if body:
        raise SettingsError(
            f"model.weights={model.weights}: does not fit {model.kind}: of its {len(own)} tensors {len(body)} of the "
            f"body do not match: {_some(body)}; {_looks_like(found, model, shape)}"
        )
    matched = {name: found[name] for name in own if name not in differs}
    network[1].load_state_dict(matched, strict=False)
    values = sum(tensor.numel() for tensor in matched.values())
    unused = tuple(name for name in found if name not in own)
    return Pretrained(str(file), digest, len(matched), len(own), values, drawn, unused, _note(model, matched))


def _difference(own: torch.Tensor, found: torch.Tensor | None) -> str:
    if found is None:
        return "missing"
    return "" if own.shape == found.shape else f"{tuple(found.shape)} there, {tuple(own.shape)} here"


def _head(model: Model, shape: Shape) -> set[str]:
    """The names of the tensors whose shapes follow from the number of classes."""
    one, other = (_names(model, shape, classes) for classes in (shape.num_classes, shape.num_classes + 1))
    return {name for name in one if one[name] != other[name]}


def _names(model: Model, shape: Shape, classes: int) -> dict[str, torch.Size]:
    size_px = max(shape.size_px, model.min_size_px)
    with torch.device("meta"):
        network = model.build(size_px, classes, shape.mean, shape.std, 0)
    return {name: tensor.shape for name, tensor in network[1].state_dict().items()}


def _looks_like(found: Mapping[str, torch.Tensor], model: Model, shape: Shape) -> str:
    for kind, member in MODELS.items():
        other = member()
        names = _names(other, shape, shape.num_classes)
        if not found.keys() & names.keys():
            continue
        head = _head(other, shape)
        body = {name: size for name, size in names.items() if name not in head and not name.endswith(COUNTER)}
        if kind != model.kind and all(name in found and found[name].shape == size for name, size in body.items()):
            return f"it has the weights of {kind}"
    return f"it has {len(found)} tensors named {_some(list(found))}"


def _note(model: Model, matched: Mapping[str, torch.Tensor]) -> str:
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in matched.values() if tensor.is_floating_point()}
    note = f"; converted from {', '.join(sorted(kinds))} to float32" if kinds - {"float32"} else ""
    if model.weights == "imagenet" and model.normalization != "imagenet":
        note += f"; they expect model.normalization=imagenet, and it is {model.normalization}"
    return note


def _read(given: str, file: Path) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of a file by the names that they have in a network without its normalization, and the file's SHA-256.
    Raises SettingsError."""
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about old pickles before it refuses them
            found = _state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except OSError as error:
        raise SettingsError(f"model.weights={given}: {file}: {error.strerror}; give a file of weights") from None
    except Exception as error:  # noqa: BLE001, the unpickler can raise almost anything on corrupt data
        why = str(error).strip().splitlines()[0]
        raise SettingsError(f"model.weights={given}: not a state dict that PyTorch can read safely ({why})") from None
    for name, tensor in found.items():
        if not torch.isfinite(tensor).all():
            raise SettingsError(f"model.weights={given}: {name} has NaN or infinite values; use another copy")
    return found, digest


def _state_dict(found: Any) -> dict[str, torch.Tensor]:
    """Unwraps a classifier of this project, a dict of another trainer, and the names of DataParallel. Raises
    ValueError."""
    if isinstance(found, dict) and isinstance(found.get("state"), dict):
        if "network" not in found["state"]:
            raise ValueError("it is a checkpoint of a run; give the model.pt of a run that has finished")
        network = found["state"]["network"]
        found = {name.removeprefix("1."): tensor for name, tensor in network.items() if name.startswith("1.")}
    if isinstance(found, dict) and isinstance(found.get(WRAPPED_IN), dict):
        found = found[WRAPPED_IN]
    if not isinstance(found, dict) or not found:
        raise ValueError("it has no tensors by name")
    other = [
        name for name, tensor in found.items() if not isinstance(name, str) or not isinstance(tensor, torch.Tensor)
    ]
    if other:
        raise ValueError(f"{other[0]} is not a tensor")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
