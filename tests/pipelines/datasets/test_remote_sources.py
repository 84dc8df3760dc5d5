"""Raw images in an object store, against the same ones on disk."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import fake_gtsrb
import pytest
from faulty_proxy import Fault, FaultyProxy
from PIL import Image as PillowImage
from s3_server import Server
from upath import UPath

from pipelines.datasets import FileReader, ImageSource, Listing, UnreadableImageError, detect_kind
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.image_folder import ImageFolder
from pipelines.errors import SourceError, StoreError
from pipelines.places import absolute_name
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.spark.frames import read_image

CONFIG = Path(__file__).parents[3] / "conf" / "make_noisy_datasets.yaml"
IMAGES = fake_gtsrb.make_images()
WRITERS = {
    "folders": fake_gtsrb.write_official,
    "zips": fake_gtsrb.write_zips,
    "kaggle": fake_gtsrb.write_kaggle,
    "folders, one level up": lambda root, images: fake_gtsrb.write_official(root / "GTSRB", images),
}


def upload(folder: Path, root: UPath) -> None:
    root.fs.put(f"{folder}/", f"{root.path}/", recursive=True)


def contents(listing: Listing) -> dict[str, tuple[object, ...]]:
    """All of each image except where it is, and its bytes."""
    with FileReader() as reader:
        return {
            image.image_id: (*image[1:4], *image[6:], reader.read(image.location)) for image in listing.images
        }  # fmt: skip


@pytest.fixture
def official(root: UPath, tmp_path: Path) -> UPath:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    upload(tmp_path, root)
    return root


@pytest.mark.parametrize("layout", WRITERS)
def test_gtsrb_lists_and_reads_the_same_images(layout: str, root: UPath, tmp_path: Path) -> None:
    """In each layout, and it is recognized; names of the operating system are counted."""
    WRITERS[layout](tmp_path, IMAGES)
    fake_gtsrb.write_file(tmp_path / "Final_Test" / ".DS_Store", b"?")
    upload(tmp_path, root)
    local, remote = (Gtsrb(root=place, allow_missing_classes=True).listing() for place in (tmp_path, root))
    assert contents(remote) == contents(local)
    assert len(remote.images) == len(IMAGES)
    assert remote.found == local.found.replace(str(tmp_path), str(root))
    assert [reason for _, reason in remote.rejected] == [reason for _, reason in local.rejected]
    assert detect_kind({"root": str(root)}) == "gtsrb"


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_a_folder_of_classes_lists_and_reads_the_same_images(
    splits: tuple[str, ...], root: UPath, tmp_path: Path
) -> None:
    """With subfolders, other files, formats that are not decoded and hidden folders."""
    for split in splits:
        for name in ("a/1.png", "a/deep/2.png", "b/3.jpg", "b/4.png"):
            path = tmp_path / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.new("RGB", (12, 12), len(str(path))).save(path)
        for name in ("a/notes.txt", "a/.git/9.png", "b/5.tiff", "readme.txt"):
            fake_gtsrb.write_file(tmp_path / split / name, b"?")
    upload(tmp_path, root)
    local, remote = (ImageFolder(root=place, name="mine").listing() for place in (tmp_path, root))
    assert contents(remote) == contents(local)
    assert len(remote.images) == 4 * len(splits)
    assert [reason for _, reason in remote.rejected] == [reason for _, reason in local.rejected]
    assert sum("ignored" in line for line in remote.left_out) == sum("ignored" in line for line in local.left_out)
    assert remote.card == local.card
    assert detect_kind({"root": str(root)}) == "image_folder"
    assert ImageFolder(root=root).dataset_name == root.name


def test_a_changed_or_removed_file_changes_the_state(official: UPath) -> None:
    """So that a later run makes the variants again; an unchanged folder has the same state."""
    source = Gtsrb(root=official, allow_missing_classes=True)
    listing = source.listing()
    state = listing.state()
    assert source.listing().state() == state
    path = UPath(listing.images[0].path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    changed = listing.state()
    path.unlink()
    assert len({state, changed, listing.state()}) == 3


def test_a_zip_is_copied_once_and_leaves_no_file(
    root: UPath, tmp_path: Path, server: Server, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request per zip, not per image."""
    fake_gtsrb.write_zips(tmp_path / "raw", IMAGES)
    upload(tmp_path / "raw", root)
    listing = Gtsrb(root=root, allow_missing_classes=True).listing()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    proxy = FaultyProxy(server.url, lambda *_: None)
    use(proxy.url)
    with FileReader() as reader:
        for image in listing.images:
            reader.read(image.location)
        assert proxy.requests <= 4  # two zips, each with its size
        assert not list((tmp_path / "temporary").iterdir())


def test_a_removed_image_is_unreadable(official: UPath) -> None:
    """As on a disk, it becomes a rejected row."""
    listing = Gtsrb(root=official, allow_missing_classes=True).listing()
    UPath(listing.images[0].path).unlink()
    with (
        FileReader() as reader,
        pytest.raises(UnreadableImageError, match=r"FileNotFoundError: s3://.* does not exist"),
    ):
        read_image(reader, listing.images[0].location)


def test_an_empty_file_is_an_unreadable_image(official: UPath) -> None:
    """A store refuses the range of an empty object."""
    listing = Gtsrb(root=official, allow_missing_classes=True).listing()
    UPath(listing.images[0].path).write_bytes(b"")
    with FileReader() as reader, pytest.raises(UnreadableImageError, match="not a PPM"):
        read_image(reader, listing.images[0].location)


def test_a_store_that_fails_is_not_a_damaged_zip(
    root: UPath, tmp_path: Path, server: Server, use: Callable[[str], None]
) -> None:
    """A zip that is damaged is told to be downloaded again; an answer that fails is not the zip's fault."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    upload(tmp_path, root)
    (root / fake_gtsrb.ARCHIVES[0]).write_bytes(b"PK?")
    with pytest.raises(SourceError, match=r"not a readable zip .*download it again"):
        Gtsrb(root=root).listing()
    upload(tmp_path, root)

    def fault(method: str, path: str, number: int) -> Fault:
        return "503" if method == "GET" and path.endswith(".zip") else None

    use(FaultyProxy(server.url, fault).url)
    with pytest.raises(StoreError, match=r"s3://bucket/.*: cannot be read"):
        Gtsrb(root=root).listing()


def test_a_store_that_does_not_answer_says_nothing_about_an_image(
    official: UPath, server: Server, use: Callable[[str], None]
) -> None:
    """It is an error and not a rejected row."""
    listing = Gtsrb(root=official, allow_missing_classes=True).listing()

    def fault(method: str, path: str, number: int) -> Fault:
        return "503"

    use(FaultyProxy(server.url, fault).url)
    with FileReader() as reader, pytest.raises(StoreError, match=r"s3://bucket/.*: cannot be read"):
        read_image(reader, listing.images[0].location)
    with pytest.raises(StoreError, match=r"s3://bucket/.*: cannot be read"):
        listing.state()
    with pytest.raises(StoreError, match=r"s3://bucket/.*: cannot be read"):
        Gtsrb(root=official).listing()


@pytest.mark.parametrize("source", [Gtsrb, ImageFolder])
def test_a_missing_folder_is_named(root: UPath, source: type[ImageSource]) -> None:
    """And so is one in a bucket that does not exist."""
    with pytest.raises((SourceError, StoreError), match=f"{root}.*(no such folder|does not exist)"):
        source(root=root).listing()
    with pytest.raises((SourceError, StoreError), match="s3://no-such-bucket/signs"):
        source(root="s3://no-such-bucket/signs").listing()
    with pytest.raises((SourceError, StoreError), match="s3://no-such-bucket/signs"):
        detect_kind({"root": "s3://no-such-bucket/signs"})


def test_other_kinds_say_that_they_need_a_disk() -> None:
    """Their containers are mapped into memory."""
    with pytest.raises(Exception, match=r"dataset: root: s3: is not supported"):
        load(NoisyDatasets, CONFIG, ["dataset.kind=mnist", "dataset.root=s3://bucket/mnist", "output_root=x"])


def test_names_hold_on_every_machine() -> None:
    """URLs stay, paths become absolute."""
    assert absolute_name("s3://bucket/a.png") == "s3://bucket/a.png"
    assert absolute_name("a.png") == str(Path("a.png").absolute())
