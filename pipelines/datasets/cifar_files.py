"""What CIFAR-10 and CIFAR-100 share: folders of python batches."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.card import Split
from pipelines.datasets.listing import Listing, Rejected, SourceImage
from pipelines.datasets.published import Published
from pipelines.datasets.python_batches import SIDE_PX, batch_labels
from pipelines.errors import SourceError

__all__ = ["CITATION", "add_batch", "find_folder"]

CITATION = "A. Krizhevsky, Learning multiple layers of features from tiny images, technical report, 2009"


def find_folder(root: Path, folder: str, names: Sequence[str], published: Published) -> Path:
    """`root` or the `folder` in it, whichever holds the files `names`. Raises SourceError if one of them is missing."""
    archive = published.archives[0].name
    for base in (root, root / folder):
        missing = [name for name in names if not (base / name).is_file()]
        if len(missing) < len(names):
            if missing:
                raise SourceError(
                    f"{base}: has no {', '.join(missing)}; the copy is incomplete: download {archive} again"
                )
            return base
    if (root / archive).is_file():
        raise SourceError(f"{root}: contains {archive}; unpack it: tar -xzf {root / archive} -C {root}")
    raise SourceError(f"{root}: no {folder} found; expected {', '.join(names)} in it or in {folder}, as in {archive}")


def add_batch(listing: Listing, split: Split, path: Path, key: str, first: int = 0) -> int:
    """Adds the images of a batch, with the labels under `key` and numbered from `first`; returns their number."""
    labels, most = batch_labels(path, key), listing.card.num_classes - 1
    for index, label in enumerate(labels):
        if 0 <= label <= most:
            image_id = f"{split}/{first + index:06d}"
            listing.images.append(SourceImage(image_id, label, split, None, "", str(path), index, SIDE_PX, SIDE_PX))
        else:
            listing.rejected.append(Rejected(f"{path}[{index}]", f"label {label} is outside 0–{most}"))
    return len(labels)
