"""What the files of an adversarial variant record about its images and how they were made."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import StreamError
from pipelines.store.schema import ATTACKED
from training.streams.manifests import AGAIN
from training.streams.open_split import OpenSplit, RowGroup
from training.streams.parquet_pieces import ParquetDatasetPiece

__all__ = ["AttackFacts", "read_attack_facts"]


@dataclass(frozen=True)
class AttackFacts:
    """`network` is the digest of the network that was attacked, `source` the variant whose images were attacked.
    `seeks` is whether the attack sought the smallest perturbation instead of using a given strength. `snr_db` (N,),
    float32, is that of the stored images in order of their ids: +inf if nothing was changed, NaN if the image is
    black."""

    network: str
    source: str
    seeks: bool
    snr_db: NDArray[np.float32]

    @property
    def relative_perturbations(self) -> NDArray[np.float64]:
        """‖δ‖₂ / ‖x‖₂ of each image, (N,): 10^(−SNR/20), equation 2 of the Parseval report."""
        ratios: NDArray[np.float64] = 10 ** (-self.snr_db.astype(np.float64) / 20)
        return ratios

    def at(self, rows: NDArray[np.bool_]) -> "AttackFacts":
        """The facts of some of the images."""
        return replace(self, snr_db=self.snr_db[rows])


def read_attack_facts(source: OpenSplit, variant: str) -> AttackFacts | None:
    """None if the images are not adversarial. Reads only two small columns. Raises StreamError."""
    opened = source.variants[variant]
    facts = opened.manifest.fingerprint
    if ATTACKED not in facts:
        return None
    tables = [_two_columns(source, group) for group in opened.row_groups]
    image_ids = np.concatenate([np.array(table["image_id"].to_pylist()) for table in tables])
    snr_db = np.concatenate([table["snr_db"].to_numpy() for table in tables])
    return AttackFacts(
        facts[ATTACKED], facts["attacked_variant"], facts["strength"] is None, snr_db[np.argsort(image_ids)]
    )


def _two_columns(source: OpenSplit, group: RowGroup) -> pa.Table:
    try:
        return ParquetDatasetPiece(group.path, source.opener, group.number).read(["image_id", "snr_db"])
    except (OSError, pa.ArrowException) as error:
        raise StreamError(f"{group.path}, row group {group.number}: cannot be read ({error}); {AGAIN}") from error
