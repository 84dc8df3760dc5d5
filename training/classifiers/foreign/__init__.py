"""Classifiers that were not trained here: a function that makes one, or an exported file. To add a kind of file, add a
file here and a line in FORMS."""

from training.classifiers.foreign.contract import Declared, ForeignError, Form
from training.classifiers.foreign.factory import Factory
from training.classifiers.foreign.onnx import Onnx
from training.classifiers.foreign.pt2 import Pt2

__all__ = ["FORMS", "Declared", "ForeignError", "Form", "form_of"]

FORMS: dict[str, type[Form]] = {
    "factory": Factory,
    "pt2": Pt2,
    "onnx": Onnx,
}


def form_of(reference: str) -> type[Form] | None:
    """The form of a model that `reference` names, or None if it names none from outside."""
    return next((form for form in FORMS.values() if form.is_meant_by(reference)), None)
