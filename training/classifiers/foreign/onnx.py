import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from training.classifiers.foreign.contract import Declared, ForeignError, Form, explained, read_bytes
from training.classifiers.foreign.shapes import declared_by


@dataclass(frozen=True)
class Onnx(Form):
    """An ONNX file, run by ONNX Runtime on the CPU; it has no gradients.

    The digest is that of the file, and of the files of weights beside it if there are any, in the order of their names.
    `content` has these weights inside, so it is complete."""

    kind: ClassVar[str] = "onnx"
    file_digest: str
    content: bytes

    @classmethod
    def is_meant_by(cls, reference: str) -> bool:
        return Path(reference).suffix == ".onnx"

    @classmethod
    def open(cls, reference: str) -> Self:
        digest, content = hashlib.sha256(read_bytes(Path(reference))), io.BytesIO()
        _check_installed(reference)
        import onnx
        from onnx.external_data_helper import load_external_data_for_model, uses_external_data

        with explained(f"{reference}: not an ONNX file, or files of weights beside it are missing"):
            model = onnx.load(reference, load_external_data=False)
            weights = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
            beside = {entry.value for tensor in weights for entry in tensor.external_data if entry.key == "location"}
            load_external_data_for_model(model, str(Path(reference).parent))
            onnx.save(model, content)
        for name in sorted(beside):
            digest.update(read_bytes(Path(reference).parent / name))
        return cls(reference, digest.hexdigest(), content.getvalue())

    @property
    def digest(self) -> str:
        return self.file_digest

    @property
    def declared(self) -> Declared:
        inputs = self._session().get_inputs()
        if len(inputs) != 1:
            raise ForeignError(f"{self.reference}: takes {len(inputs)} inputs, expected one, a batch of images")
        sides = [side if isinstance(side, int) else None for side in inputs[0].shape]
        return declared_by(self.reference, inputs[0].type, "tensor(float)", sides)

    def network(self, device: torch.device) -> nn.Module:
        return _Session(self._session())

    def _session(self) -> Any:
        _check_installed(self.reference)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        with explained(f"{self.reference}: ONNX Runtime {onnxruntime.__version__} cannot run it"):
            return onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])

    def packed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"file_digest": self.file_digest}, {"file": torch.frombuffer(bytearray(self.content), dtype=torch.uint8)}

    @classmethod
    def unpacked(cls, reference: str, settings: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        return cls(reference, settings["file_digest"], state["file"].cpu().numpy().tobytes())


class _Session(nn.Module):
    """A session of ONNX Runtime; its first output."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._run, self._name = session.run, session.get_inputs()[0].name
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        given = images.detach().to("cpu", torch.float32).contiguous().numpy()
        return torch.from_numpy(self._run(None, {self._name: given})[0]).to(images.device)


def _check_installed(reference: str) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise ForeignError(
            f"{reference}: ONNX files need {error.name}, which is not installed: uv sync --extra onnx, or "
            "pip install onnx onnxruntime"
        ) from None
