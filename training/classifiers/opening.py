"""Opens models by reference: tracked runs, checkpoints, and models from outside."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from pipelines.errors import SettingsError
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.foreign import Declared, ForeignError, Form, form_of
from training.classifiers.foreign.classifier import ForeignClassifier, Images
from training.classifiers.trained import Classifier
from training.streams.listing import stored_images
from training.tracking import FoundModel, find_models

__all__ = ["FindImages", "OpenedModel", "named", "open_models", "stored", "unlabelled"]

RGB = 3
FindImages = Callable[[str, Declared], Images]
"""(reference of a model from outside, what it says of its images) → the images that it is to be shown. Raises
RoadsignError."""


class OpenedModel(NamedTuple):
    found: FoundModel
    classifier: AnyClassifier


def open_models(
    references: Sequence[str], device: torch.device, images: FindImages, console: Console
) -> list[OpenedModel]:
    """A reference is one of training.tracking.find_models, or a model from outside: <python.path>:<callable>, or the
    path or URL of a .pt2 or .onnx file; what is not known of one is printed. Raises TrackingError, UnreachableError,
    CheckpointError and ForeignError."""
    forms = {reference: form_of(reference) for reference in references}
    files = [reference for reference, form in forms.items() if form is None or form.kind != "factory"]
    found = dict(zip(files, find_models(files), strict=True))
    opened = [_opened(found.get(reference), reference, forms[reference], device, images) for reference in references]
    for model in opened:
        for note in model.classifier.notes:
            console.print(note)
    return opened


def named(opened: Sequence[OpenedModel]) -> dict[str, OpenedModel]:
    """By name; models of equal name by name and the first digits of their digest."""
    often = Counter(model.found.name for model in opened)
    return {
        found.name if often[found.name] == 1 else f"{found.name}-{classifier.digest[:8]}": OpenedModel(
            found, classifier
        )
        for found, classifier in opened
    }


def _opened(
    found: FoundModel | None, reference: str, form: type[Form] | None, device: torch.device, images: FindImages
) -> OpenedModel:
    if form is None:
        assert found is not None
        return OpenedModel(found, Classifier.read(found.path, device))
    opened = form.open(str(found.path) if found else reference)
    classifier = ForeignClassifier.fitted(opened, images(reference, opened.declared), device)
    return OpenedModel(found or FoundModel(reference, reference, None, Path(reference)), classifier)


def stored(root: str, geometry: str, size_px: int | None) -> FindImages:
    """The images of a dataset; `size_px` None: of the size that the model declares, or of the only size there is."""

    def find(reference: str, declared: Declared) -> Images:
        if None not in (size_px, declared.size_px) and size_px != declared.size_px:
            raise ForeignError(
                f"{reference} is for images of {declared.size_px} px, not of {size_px} px; leave data.size_px null or "
                f"set data.size_px={declared.size_px}"
            )
        there = stored_images(root, geometry, size_px or declared.size_px)
        return Images(there.size_px, there.card.channels, there.card.num_classes, there.card.name)

    return find


def unlabelled(source: str, size_px: int | None) -> FindImages:
    """Images whose classes are unknown; of three channels unless the model declares one. Raises SettingsError if
    neither the model nor `size_px` says their size."""

    def find(reference: str, declared: Declared) -> Images:
        if (size := size_px or declared.size_px) is None:
            raise SettingsError(f"size_px: set it, since {reference} does not say the size of its images")
        return Images(size, declared.channels or RGB, None, source)

    return find
