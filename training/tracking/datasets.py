"""The project's datasets as MLflow datasets, identified by the digest of their manifest."""

import json
from typing import Any, NamedTuple

from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.entities import DatasetInput, InputTag
from mlflow.types import ColSpec, DataType, Schema

__all__ = ["DatasetUsed"]

DIGEST_CHARACTERS = 36
"""MLflow's limit (mlflow.utils.validation.MAX_DATASET_DIGEST_SIZE); the full digest is in the source."""

TYPES = {
    "string": DataType.string, "binary": DataType.binary, "bool": DataType.boolean, "int32": DataType.integer,
    "int64": DataType.long, "float": DataType.float, "double": DataType.double,
}  # fmt: skip
"""MLflow's types by Arrow's names."""


class DatasetUsed(NamedTuple):
    """One split of one variant. `digest` is the content_digest of the manifest, `source` the folder or URL of the
    variant, `context` its use: train, validation or test; `schema` is plain data. `columns` are the Arrow types of its
    columns by name, None in what older versions have left to send."""

    name: str
    digest: str
    source: str
    context: str
    rows: int
    schema: dict[str, Any]
    columns: dict[str, str] | None = None

    def as_input(self) -> DatasetInput:
        tags = [InputTag("mlflow.data.context", self.context)]
        return DatasetInput(_VariantDataset(self)._to_mlflow_entity(), tags)


class _VariantFolder(DatasetSource):
    def __init__(self, used: DatasetUsed) -> None:
        self._used = used

    @staticmethod
    def _get_source_type() -> str:
        return "roadsign_variant"

    def load(self) -> str:
        return self._used.source

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:  # noqa: ARG004
        return False  # a path alone has no digest

    @classmethod
    def _resolve(cls, raw_source: Any) -> "_VariantFolder":
        raise NotImplementedError

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> "_VariantFolder":
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        return {"uri": self._used.source, "content_digest": self._used.digest}


class _VariantDataset(Dataset):
    def __init__(self, used: DatasetUsed) -> None:
        self._used = used
        super().__init__(_VariantFolder(used), used.name)

    def _compute_digest(self) -> str:
        return self._used.digest[:DIGEST_CHARACTERS]

    @property
    def profile(self) -> dict[str, Any]:
        return {"rows": self._used.rows, "content_digest": self._used.digest, **self._used.schema}

    @property
    def schema(self) -> dict[str, Any]:
        """As MLflow's user interface shows a table of columns."""
        columns = self._used.columns
        if columns is None:
            return self._used.schema
        return {"mlflow_colspec": Schema([ColSpec(TYPES[columns[name]], name) for name in columns]).to_dict()}

    def to_dict(self) -> dict[str, str]:
        return {**super().to_dict(), "profile": json.dumps(self.profile), "schema": json.dumps(self.schema)}
