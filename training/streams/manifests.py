"""Manifests of datasets that are to be read, and the jobs that make these datasets."""

import json
import posixpath

from pydantic import ValidationError

from pipelines.errors import StreamError
from pipelines.settings import expected
from pipelines.store.schema import FORMAT_VERSION, MANIFEST_NAME, Manifest
from training.streams.parquet_pieces import Opener

__all__ = ["AGAIN", "ATTACKING_JOB", "GENERATING_JOB", "JOB", "read_manifest"]

JOB = "spark-submit jobs/make_noisy_datasets.py"
ATTACKING_JOB = "spark-submit jobs/make_adversarial_datasets.py"
GENERATING_JOB = "spark-submit jobs/make_generated_datasets.py"
AGAIN = f"delete the variant's folder and make it again: {JOB}, or for adversarial images {ATTACKING_JOB}"


def read_manifest(opener: Opener, folder: str) -> Manifest:
    """Raises StreamError."""
    path = posixpath.join(folder, MANIFEST_NAME)
    try:
        text = opener.filesystem.cat_file(path)
        _refuse_old(path, text)
        return Manifest.model_validate_json(text)
    except FileNotFoundError:
        raise StreamError(f"{path}: no manifest, so this is not a complete dataset; {AGAIN}") from None
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "contents"
        raise StreamError(f"{path}: not a manifest of this version ({at}: {expected(first)}); {AGAIN}") from None


def _refuse_old(path: str, text: bytes) -> None:
    """Raises StreamError for a manifest of an older version, whose dataset must be made again."""
    try:
        version = json.loads(text)["fingerprint"]["format_version"]
    except (ValueError, LookupError, TypeError):
        return  # not a manifest of any version
    if isinstance(version, int) and version < FORMAT_VERSION:
        raise StreamError(
            f"{path}: has format {version}, this version reads {FORMAT_VERSION}; repeat the job that made it, which "
            f"replaces it: {JOB}, or for adversarial images {ATTACKING_JOB}, for generated ones {GENERATING_JOB}"
        )
