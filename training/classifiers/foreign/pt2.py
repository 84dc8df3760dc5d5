import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.export.passes import move_to_device_pass

from training.classifiers.foreign.contract import Declared, ForeignError, Form, explained, read_bytes
from training.classifiers.foreign.shapes import declared_by


@dataclass(frozen=True)
class Pt2(Form):
    """A file that torch.export.save has written; reading it runs a pickle, so it must be from somebody you trust.

    The digest is that of the file. Gradients with respect to the images are those of the exported operations."""

    kind: ClassVar[str] = "pt2"
    content: bytes
    program: torch.export.ExportedProgram

    @classmethod
    def is_meant_by(cls, reference: str) -> bool:
        return Path(reference).suffix == ".pt2"

    @classmethod
    def open(cls, reference: str) -> Self:
        return cls._loaded(reference, read_bytes(Path(reference)))

    @classmethod
    def _loaded(cls, reference: str, content: bytes) -> Self:
        with explained(f"{reference}: not a file of torch.export.save that this PyTorch, {torch.__version__}, reads"):
            return cls(reference, content, torch.export.load(io.BytesIO(content)))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def declared(self) -> Declared:
        names = set(self.program.graph_signature.user_inputs)
        inputs = [node for node in self.program.graph.nodes if node.op == "placeholder" and node.name in names]
        if len(inputs) != 1:
            raise ForeignError(f"{self.reference}: takes {len(inputs)} inputs, expected one, a batch of images")
        value = inputs[0].meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise ForeignError(f"{self.reference}: its input is not a tensor, expected a batch of images")
        sides = [side if isinstance(side, int) else None for side in value.shape]
        declared = declared_by(self.reference, str(value.dtype), "torch.float32", sides)
        if sides[0] is not None:
            return declared
        limits = self.program.range_constraints.get(value.shape[0].node.expr)
        if limits is None:
            return declared
        most = int(limits.upper) if limits.upper.is_Integer else None
        return declared._replace(least=max(1, int(limits.lower)), most=most)

    def network(self, device: torch.device) -> nn.Module:
        with explained(f"{self.reference}: cannot be moved to {device}"):
            program = self.program if device.type == "cpu" else move_to_device_pass(self.program, device)
            return _Program(program.module().requires_grad_(False))

    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"file": torch.frombuffer(bytearray(self.content), dtype=torch.uint8)}

    @classmethod
    def unpacked(cls, reference: str, settings: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        return cls._loaded(reference, state["file"].cpu().numpy().tobytes())


class _Program(nn.Module):
    """An exported program, which is in the mode in which it was exported and refuses any other."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self._program = (program,)  # not a submodule, so that eval() does not reach it
        self.eval()

    def forward(self, images: torch.Tensor) -> Any:
        return self._program[0](images)
