"""Small data sets in the formats of their publishers, written without the code that reads them."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def random_images(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def idx_bytes(values: NDArray[np.uint8], kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape) + values.tobytes()


def write_mnist(folder: Path, labels: dict[str, list[int]], zipped: bool = True) -> dict[str, NDArray[np.uint8]]:
    """MNIST's four files for {"train": labels, "t10k": labels}; the images by prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for seed, (prefix, own) in enumerate(labels.items()):
        images[prefix] = random_images(len(own), 28, 28, seed=seed)
        for kind, values in (("images-idx3", images[prefix]), ("labels-idx1", np.array(own, np.uint8))):
            data, name = idx_bytes(values), f"{prefix}-{kind}-ubyte"
            (folder / (name + ".gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)
    return images


def python2_pickle(value: Any) -> bytes:
    """Pickles dicts, lists, strings, integers and uint8 arrays in protocol 2, as cPickle of Python 2 does."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if isinstance(value, bytes):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(item) for pair in value.items() for item in pair) + b"u"
    assert isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 2
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    fortran = not value.flags.c_contiguous
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01" + b"".join(map(_python2, value.shape)) + b"\x86" + dtype + (b"\x88" if fortran else b"\x89")
        + _python2(value.tobytes("F" if fortran else "C")) + b"tb"
    )  # fmt: skip


def cifar_batch(images: NDArray[np.uint8], **labels: list[int]) -> dict[bytes, Any]:
    """(N, 32, 32, 3) → the dict of a batch: in a row first all red values, then green, then blue."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)
    names = [b"%05d.png" % number for number in range(len(images))]
    return {
        b"batch_label": b"x" * 300, b"data": rows, b"filenames": names,
        **{key.encode(): values for key, values in labels.items()},
    }  # fmt: skip


def write_cifar10(folder: Path, per_batch: int = 4) -> tuple[NDArray[Any], list[int]]:
    """The folder cifar-10-batches-py; all images, the test batch last, and their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    images = random_images(per_batch * 6, 32, 32, 3)
    labels = [number * 7 % 10 for number in range(len(images))]
    for batch, name in enumerate(names):
        own = slice(batch * per_batch, (batch + 1) * per_batch)
        (folder / name).write_bytes(python2_pickle(cifar_batch(images[own], labels=labels[own])))
    meta = {b"num_vis": 3072, b"label_names": [name.encode() for name in CIFAR10_NAMES]}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))
    return images, labels


def write_cifar100(folder: Path) -> dict[str, tuple[NDArray[np.uint8], list[int], list[int]]]:
    """The folder cifar-100-python; images, fine and coarse labels by split."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, (split, count) in enumerate({"train": 12, "test": 5}.items()):
        images = random_images(count, 32, 32, 3, seed=seed)
        fine = [(number * 17 + seed) % 100 for number in range(count)]
        coarse = [label // 5 for label in fine]
        batch = cifar_batch(images, fine_labels=fine, coarse_labels=coarse)
        (folder / split).write_bytes(python2_pickle(batch))
        written[split] = images, fine, coarse
    names = {"fine": 100, "coarse": 20}
    meta = {
        f"{kind}_label_names".encode(): [b"%s_%d" % (kind.encode(), n) for n in range(c)] for kind, c in names.items()
    }
    (folder / "meta").write_bytes(python2_pickle(meta))
    return written


def write_svhn(folder: Path, labels: dict[str, list[int]], compressed: bool = True) -> dict[str, NDArray[np.uint8]]:
    """{"train": [10, 1, …], …} with the publisher's labels, 10 for the digit 0; the images by part, N first."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for seed, (part, own) in enumerate(labels.items()):
        images[part] = random_images(len(own), 32, 32, 3, seed=seed)
        variables = {"X": images[part].transpose(1, 2, 3, 0), "y": np.array(own, np.uint8)[:, None]}
        scipy.io.savemat(folder / f"{part}_32x32.mat", variables, do_compression=compressed)
    return images


TINY_WNIDS = ["n02124075", "n01443537", "n03126707", "n02012849"]


def write_tiny_imagenet(folder: Path) -> None:
    """Writes four classes, two of them called crane, with three training and two val images each, and two test
    images."""
    rng = np.random.default_rng(0)
    words = {"n02124075": "Egyptian cat", "n01443537": "goldfish, Carassius auratus", "n03126707": "crane",
             "n02012849": "crane", "n00000001": "entity"}  # fmt: skip
    lines = []
    for wnid in TINY_WNIDS:
        for number in range(3):
            _write_image(folder / f"train/{wnid}/images/{wnid}_{number}.JPEG", rng)
        (folder / f"train/{wnid}/{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
        for _ in range(2):
            _write_image(folder / f"val/images/val_{len(lines)}.JPEG", rng)
            lines.append(f"val_{len(lines)}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    for number in range(2):
        _write_image(folder / f"test/images/test_{number}.JPEG", rng)
    (folder / "val/val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in TINY_WNIDS))
    (folder / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in words.items()))


def write_image_folder(root: Path, *names: str) -> None:
    """Writes images at these paths."""
    rng = np.random.default_rng(0)
    for name in names:
        _write_image(root / name, rng)


def _write_image(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
