"""Every data set that has a publisher, downloaded from a local server and read by its source; URLs and MD5s."""

import gzip
import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import fake_gtsrb
import pytest
from archive_server import serving
from published_formats import TINY_WNIDS, write_cifar10, write_cifar100, write_mnist, write_svhn, write_tiny_imagenet

from pipelines.datasets import DATASETS
from pipelines.datasets.download import PUBLISHED, DownloadSettings, archive_folder, fetch
from pipelines.datasets.published import Published
from pipelines.errors import SourceError

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tarred(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        opened.add(folder, folder.name)
    return buffer.getvalue()


def gtsrb_files(folder: Path) -> Files:
    folder.mkdir()
    images = fake_gtsrb.make_images(labels=range(43), tracks=1, frames=1, tests=43)
    fake_gtsrb.write_zips(folder, images)
    return files_of(folder)


def mnist_files(folder: Path) -> Files:
    write_mnist(folder, {"train": [5, 0, 4], "t10k": [7, 2]})
    return files_of(folder)


def cifar10_files(folder: Path) -> Files:
    write_cifar10(folder / "cifar-10-batches-py")
    return {"cifar-10-python.tar.gz": tarred(folder / "cifar-10-batches-py")}


def cifar100_files(folder: Path) -> Files:
    write_cifar100(folder / "cifar-100-python")
    return {"cifar-100-python.tar.gz": tarred(folder / "cifar-100-python")}


def svhn_files(folder: Path) -> Files:
    write_svhn(folder, {"train": [10, 1, 2], "test": [3], "extra": [4, 5]})
    return files_of(folder)


def tiny_imagenet_files(folder: Path) -> Files:
    write_tiny_imagenet(folder / "tiny-imagenet-200")
    members = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    fake_gtsrb.write_zip(folder / "tiny-imagenet-200.zip", members)
    return {"tiny-imagenet-200.zip": (folder / "tiny-imagenet-200.zip").read_bytes()}


EACH: dict[str, tuple[Callable[[Path], Files], dict[str, int]]] = {
    "gtsrb": (gtsrb_files, {"train": 43, "test": 43}),
    "mnist": (mnist_files, {"train": 3, "test": 2}),
    "fashion_mnist": (mnist_files, {"train": 3, "test": 2}),
    "cifar10": (cifar10_files, {"train": 20, "test": 4}),
    "cifar100": (cifar100_files, {"train": 12, "test": 5}),
    "svhn": (svhn_files, {"train": 3, "test": 1}),
    "tiny_imagenet_200": (tiny_imagenet_files, {"train": 3 * len(TINY_WNIDS), "test": 2 * len(TINY_WNIDS)}),
}
"""The files of a small one, and how many images of each split they hold."""


def as_published(kind: str, files: Files) -> Published:
    """The published names, folders and packing, with the sizes and MD5s of `files`."""
    published = PUBLISHED[kind]
    archives, optional = (
        tuple(
            archive._replace(
                md5=hashlib.md5(files[archive.name], usedforsecurity=False).hexdigest(),
                size_bytes=len(files[archive.name]),
            )
            for archive in part
        )
        for part in (published.archives, published.optional)
    )
    return Published(published.base_url, archives, optional)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_each_data_set_is_downloaded_to_what_its_source_reads(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write, counts = EACH[kind]
    files = write(tmp_path / "written")
    published = as_published(kind, files)
    with serving(files) as server:
        first = published.archives[0].name
        server.faults[first] = ["503", "drop", "corrupt"]
        settings = DownloadSettings(
            dataset=kind, destination=tmp_path / "raw" / kind, base_url=server.url, attempts=4, backoff_s=0.01
        )
        assert fetch(settings, published)
        assert [name for name, _ in server.requests] == [first] * 4 + [
            archive.name for archive in published.archives[1:]
        ]
        assert not fetch(settings, published)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [kind]
    listing = DATASETS[kind](root=settings.folder()).listing()
    assert Counter(image.split for image in listing.images) == counts
    assert listing.rejected == []


def test_files_that_are_not_packed_are_stored_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that are kept are not copied."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = svhn_files(tmp_path / "written")
    with serving(files) as server:
        settings = DownloadSettings(
            dataset="svhn", destination=tmp_path / "svhn", base_url=server.url, optional=True, keep_archives=True
        )
        fetch(settings, as_published("svhn", files))
    found = files_of(tmp_path / "svhn")
    assert found.pop("download.json")
    assert found == files
    assert files_of(archive_folder(tmp_path / "svhn")) == files
    kept = archive_folder(tmp_path / "svhn") / "extra_32x32.mat"
    assert kept.samefile(tmp_path / "svhn" / "extra_32x32.mat")


def test_a_disk_without_hard_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    files = mnist_files(tmp_path / "written")
    with serving(files) as server:
        settings = DownloadSettings(dataset="mnist", destination=tmp_path / "mnist", base_url=server.url)
        fetch(settings, as_published("mnist", files))
    assert {name: found for name, found in files_of(tmp_path / "mnist").items() if name != "download.json"} == files


def test_a_tar_that_cannot_be_unpacked_leaves_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = {"cifar-10-python.tar.gz": gzip.compress(b"no tar" * 1000)}
    with serving(files) as server:
        settings = DownloadSettings(dataset="cifar10", destination=tmp_path / "raw/cifar10", base_url=server.url)
        with pytest.raises(SourceError, match=r"cifar-10-python\.tar\.gz: not a readable tar\.gz"):
            fetch(settings, as_published("cifar10", files))
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["cifar10-archives"]


def test_the_default_folder_is_where_the_source_looks() -> None:
    for kind in PUBLISHED:
        assert DownloadSettings(dataset=kind).folder() == DATASETS[kind].model_validate({}).root.resolve()


def test_all_data_sets_but_two_can_be_downloaded() -> None:
    assert DATASETS.keys() - PUBLISHED.keys() == {"image_folder", "synthetic_signs"}
    assert EACH.keys() == PUBLISHED.keys()
    for published in PUBLISHED.values():
        assert not any(archive.packed for archive in published.optional), "added file by file"
        archives = (*published.archives, *published.optional)
        assert len({archive.name for archive in archives}) == len(archives)
        assert all(archive.packed <= archive.name.endswith((".zip", ".tar.gz")) for archive in archives)


def test_host_and_test_archives_of_gtsrb_are_those_of_torchvision() -> None:
    """torchvision has them in a function; those of the others are compared in test_dataset_cards.py."""
    torchvision = find_spec("torchvision")
    assert torchvision is not None and torchvision.origin is not None
    source = Path(torchvision.origin).with_name("datasets").joinpath("gtsrb.py").read_text(encoding="utf-8")
    published = PUBLISHED["gtsrb"]
    assert published.base_url in source
    for archive in published.archives[1:]:
        assert archive.name in source
        assert archive.md5 in source
