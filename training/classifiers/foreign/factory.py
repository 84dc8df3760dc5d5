import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from training.classifiers.foreign.contract import Declared, ForeignError, Form, explained
from training.classifiers.trained import weights_digest

NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
REFERENCE = re.compile(f"({NAME}):({NAME})")


@dataclass(frozen=True)
class Factory(Form):
    """<python.path>:<callable>, which without arguments returns an nn.Module.

    The module is found as Python finds it, and after everything else in the folder `found_in`, the one that the job was
    started in. The digest is that of the network's state."""

    kind: ClassVar[str] = "factory"
    found_in: str
    module: nn.Module

    @classmethod
    def is_meant_by(cls, reference: str) -> bool:
        return REFERENCE.fullmatch(reference) is not None

    @classmethod
    def open(cls, reference: str) -> Self:
        return cls._made(reference, str(Path.cwd()))

    @classmethod
    def _made(cls, reference: str, found_in: str) -> Self:
        match = REFERENCE.fullmatch(reference)
        assert match is not None
        path, name = match.groups()
        if found_in not in sys.path:
            sys.path.append(found_in)
        with explained(
            f"{reference}: {path} cannot be imported", f"install it, or start in its folder; searched: {found_in} last"
        ):
            imported = importlib.import_module(path)
        try:
            make = attrgetter(name)(imported)
        except AttributeError:
            raise ForeignError(f"{reference}: {path} ({imported.__file__}) has no {name}") from None
        if not callable(make):
            raise ForeignError(f"{reference}: is a {type(make).__name__}; give a function that returns an nn.Module")
        with explained(f"{reference}: calling it without arguments failed"):
            module = make()
        if not isinstance(module, nn.Module):
            raise ForeignError(f"{reference}: returns a {type(module).__name__}, expected a torch.nn.Module")
        return cls(reference, found_in, module)

    @property
    def digest(self) -> str:
        with explained(f"{self.reference}: its state has no digest"):
            return weights_digest(self.module)

    @property
    def declared(self) -> Declared:
        return Declared()

    def network(self, device: torch.device) -> nn.Module:
        with explained(f"{self.reference}: cannot be moved to {device}"):
            return self.module.to(device).eval().requires_grad_(False)

    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"found_in": self.found_in}, {"network": self.module.state_dict()}

    @classmethod
    def unpacked(cls, reference: str, settings: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """Calls the factory here too; the weights are those of the network that was packed."""
        made = cls._made(reference, settings["found_in"])
        with explained(f"{reference}: makes another network here than where the job was started"):
            made.module.load_state_dict(state["network"])
        return made
