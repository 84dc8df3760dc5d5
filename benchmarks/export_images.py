"""Writes a data set of make_noisy_datasets as arrays of NumPy, for benchmarks/train_many.py.

python benchmarks/export_images.py DATASET_ROOT IMAGES [--geometry roi_resize] [--size-px 48]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from training.streams.open_split import open_split
from training.streams.order import Share, Slot
from training.streams.stream import Stream


def export(root: Path, folder: Path, geometry: str, size_px: int) -> None:
    """Clean training images, and all variants of the other splits."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = root / f"geometry={geometry}" / f"size_px={size_px}"
    variants = sorted(path.name.removeprefix("variant=") for path in cells.iterdir())
    for split in ("train", "validation", "test"):
        for variant in variants if split != "train" else ["clean"]:
            source = open_split(str(root), geometry, size_px, [variant], split)
            stream = Stream(source, {variant: 1.0}, 0, Share(0, 1, 1))
            rows = list(stream.read([Slot(variant, group) for group in range(len(source.rows))]))
            np.save(folder / f"{variant}-{split}.npy", np.concatenate([part.images for part in rows]))
            ids, labels = (np.concatenate([getattr(part, name) for part in rows]) for name in ("image_ids", "labels"))
            np.savez(folder / f"rows-{split}.npz", ids=ids.astype(str), labels=labels)
            if split == "train":
                manifest = source.variants[variant].manifest
                statistics = manifest.statistics["train"]
    about = {
        "card": manifest.card.model_dump(mode="json"), "digests": {"clean": manifest.content_digest},
        "geometry": geometry, "size_px": size_px, "mean": statistics.channel_mean, "std": statistics.channel_std,
    }  # fmt: skip
    (folder / "about.json").write_text(json.dumps(about))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--geometry", default="roi_resize")
    parser.add_argument("--size-px", type=int, default=48)
    arguments = parser.parse_args()
    export(arguments.root, arguments.images, arguments.geometry, arguments.size_px)


if __name__ == "__main__":
    main()
