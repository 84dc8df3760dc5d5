"""Malicious and damaged zip and tar.gz files."""

import gzip
import io
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import numpy as np
import pytest

from pipelines.datasets import extraction
from pipelines.datasets.extraction import MAX_EXTRACTED_BYTES, extract_safely
from pipelines.errors import SourceError


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("GTSRB/../../evil", 0o100644),
        ("GTSRB/../evil/", 0o040755),
        ("{folder}/evil", 0o100644),
        ("GTSRB/{folder}/evil", 0o100644),
        ("..\\evil", 0),
        ("C:evil", 0),
        ("GTSRB/evil", 0o120777),
        ("GTSRB/evil", 0o010644),
        ("evil", 0),
    ],
)
def test_a_member_that_is_not_a_regular_file_inside_stops_extraction(tmp_path: Path, name: str, mode: int) -> None:
    archive = tmp_path / "bad.zip"
    with ZipFile(archive, "w") as opened:
        opened.writestr("GTSRB/good", b"good")
        member = ZipInfo(name.format(folder=tmp_path))
        member.create_system, member.external_attr = 3, mode << 16
        opened.writestr(member, b"/etc/passwd")
        if name == "evil":
            opened.writestr("GTSRB/evil", b"both would become evil")
    with pytest.raises(SourceError, match=r"bad\.zip: member '.*evil"):
        extract_safely(archive, tmp_path / "dataset" / "inside", strip_prefix="GTSRB/")
    assert list(tmp_path.rglob("*")) == [archive]


def write_with_header(archive: Path, change: Callable[[ZipInfo], None]) -> None:
    with ZipFile(archive, "w", ZIP_DEFLATED) as opened:
        opened.writestr("first", b"first")
        opened.writestr("bomb", bytes(2**20))
        change(opened.infolist()[1])


def test_an_archive_that_declares_too_much_is_refused(tmp_path: Path) -> None:
    def declare_too_much(member: ZipInfo) -> None:
        member.file_size = MAX_EXTRACTED_BYTES - 4

    write_with_header(tmp_path / "bomb.zip", declare_too_much)
    with pytest.raises(SourceError, match=r"bomb\.zip: would unpack to 4,294,967,297 bytes, more than 4,294,967,296"):
        extract_safely(tmp_path / "bomb.zip", tmp_path / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.zip"]


def test_an_archive_that_holds_more_than_it_declares_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def declare_too_little(member: ZipInfo) -> None:
        member.file_size = 10

    def note_written(path: Path, **_: bool) -> None:
        written.extend(file.stat().st_size for file in Path(path).rglob("bomb"))
        remove(path, ignore_errors=True)

    remove = shutil.rmtree
    write_with_header(tmp_path / "bomb.zip", declare_too_little)
    monkeypatch.setattr(shutil, "rmtree", note_written)
    with pytest.raises(SourceError, match=r"bomb\.zip: .*'bomb'"):
        extract_safely(tmp_path / "bomb.zip", tmp_path / "dataset")
    assert all(size_bytes <= 10 for size_bytes in written)
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.zip"]


def test_a_member_compressed_in_an_unusual_way_is_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "odd.zip", "w", ZIP_LZMA) as opened:
        opened.writestr("packed", b"content")
    with pytest.raises(SourceError, match=r"odd\.zip: member 'packed' is neither stored nor deflated"):
        extract_safely(tmp_path / "odd.zip", tmp_path / "dataset")


def test_a_file_that_is_not_a_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_bytes(b"<html>")
    with pytest.raises(SourceError, match=r"page\.zip: not a readable zip"):
        extract_safely(tmp_path / "page.zip", tmp_path / "dataset")


Change = Callable[[tarfile.TarInfo], None]


def tar_bytes(*members: tuple[str, bytes], change: Change | None = None, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar.gz of these members; `change` is applied to the header of the last one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as opened:
        for number, (name, content) in enumerate(members, start=1):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if change and number == len(members):
                change(member)
            opened.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_tar(archive: Path, *members: tuple[str, bytes], change: Change | None = None) -> None:
    archive.write_bytes(gzip.compress(tar_bytes(*members, change=change)))


def assert_refused(archive: Path, reason: str) -> None:
    with pytest.raises(SourceError, match=rf"{archive.name}: {reason}"):
        extract_safely(archive, archive.parent / "dataset")
    assert list(archive.parent.iterdir()) == [archive]


def test_a_tar_is_unpacked_without_the_prefix(tmp_path: Path) -> None:
    """Including long and non-ASCII names, which have additional headers."""
    contents = {f"a/{'b' * 150}/c": b"1" * 70_000, "a/ü": b"", "d": b"2"}
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        packed = tar_bytes(*((f"./top/{name}", content) for name, content in contents.items()), form=form)
        archive = tmp_path / f"{form}.tar.gz"
        archive.write_bytes(gzip.compress(packed))
        extract_safely(archive, tmp_path / str(form), strip_prefix="./top/")
        files = [path for path in (tmp_path / str(form)).rglob("*") if path.is_file()]
        assert {path.relative_to(tmp_path / str(form)).as_posix(): path.read_bytes() for path in files} == contents


def test_a_tar_with_folders_is_what_the_command_tar_would_make(tmp_path: Path) -> None:
    (tmp_path / "in/batches/empty").mkdir(parents=True)
    (tmp_path / "in/batches/data").write_bytes(np.random.default_rng(0).bytes(2**20 + 7))
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as opened:
        opened.add(tmp_path / "in/batches", "batches")
    extract_safely(tmp_path / "b.tar.gz", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/batches").iterdir()] == ["data"]
    assert (tmp_path / "out/batches/data").read_bytes() == (tmp_path / "in/batches/data").read_bytes()


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:evil", "\\evil"])
def test_a_tar_member_outside_the_folder_stops_extraction(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "bad.tar.gz", ("good", b"good"), (name, b"evil"))
    assert_refused(tmp_path / "bad.tar.gz", "member '.*evil' is outside the folder")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE, b"Z",
    ],
    ids=["symbolic link", "hard link", "character device", "block device", "pipe", "contiguous", "sparse", "unknown"],
)  # fmt: skip
def test_a_tar_member_that_is_not_a_regular_file_stops_extraction(tmp_path: Path, kind: bytes) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "good", 0

    write_tar(tmp_path / "bad.tar.gz", ("good", b"good"), ("evil", b""), change=change)
    assert_refused(tmp_path / "bad.tar.gz", "member 'evil' is a link or a special file")


def test_a_sparse_member_by_its_extended_header_stops_extraction(tmp_path: Path) -> None:
    """It has 512 bytes and would unpack to 1 TB of zeros."""

    def change(member: tarfile.TarInfo) -> None:
        member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,3", "GNU.sparse.size": str(2**40)}

    write_tar(tmp_path / "bad.tar.gz", ("evil", b"abc"), change=change)
    assert_refused(tmp_path / "bad.tar.gz", "member 'evil' is a link or a special file")


def test_a_tar_member_that_occurs_twice_stops_extraction(tmp_path: Path) -> None:
    write_tar(tmp_path / "bad.tar.gz", ("evil", b"1"), ("./evil", b"2"))
    assert_refused(tmp_path / "bad.tar.gz", "member './evil' occurs twice")


def header(name: str, size_bytes: int, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size_bytes, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def test_a_tar_bomb_is_refused_at_its_header(tmp_path: Path) -> None:
    """None of the announced data is read."""
    bomb = tar_bytes(("first", b"first"))[:1024] + header("bomb", MAX_EXTRACTED_BYTES - 4, tarfile.REGTYPE)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bomb))
    assert_refused(tmp_path / "bomb.tar.gz", "would unpack to 4,294,967,297 bytes, more than 4,294,967,296; delete")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "MAX_MEMBERS", 3)
    write_tar(tmp_path / "many.tar.gz", *((str(number), b"") for number in range(4)))
    assert_refused(tmp_path / "many.tar.gz", "would unpack to 4 members, more than 3; delete")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_in_a_header_is_not_read_into_memory(tmp_path: Path, kind: bytes) -> None:
    size_bytes = 2**27
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=1) as file:
        file.write(header("long", size_bytes, kind))
        for _ in range(size_bytes // 2**20):
            file.write(bytes(2**20))
    tracemalloc.start()
    assert_refused(tmp_path / "bomb.tar.gz", r"not a readable tar\.gz")
    _, max_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max_bytes < size_bytes / 8


def test_endless_padding_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(tar_bytes(("a", b"a")) + bytes(2**25)))
    assert_refused(tmp_path / "bomb.tar.gz", r"not a readable tar\.gz \(data after the last member")


def test_sizes_that_seek_backwards_are_refused(tmp_path: Path) -> None:
    """Otherwise tarfile would read the same header forever."""
    for kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
        bad = tar_bytes(("good", b"good"))[:1024] + header("evil", -1024, kind) + bytes(10240)
        (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(bad))
        assert_refused(tmp_path / "bad.tar.gz", "member 'evil' declares a negative size")


def test_damage_of_a_tar_is_named(tmp_path: Path) -> None:
    """Even if tarfile alone would treat it as the end, or not notice it."""
    content = np.random.default_rng(0).bytes(5000)
    plain = tar_bytes(("first", content), ("second", content))
    whole = gzip.compress(plain)
    second = plain.index(b"second")
    damaged = {
        "no gzip": b"<html>",
        "empty": b"",
        "no tar": gzip.compress(b"<html>" * 1000),
        "truncated": whole[: len(whole) // 2],
        "without its end": whole[:-8],
        "another CRC": whole[:-8] + bytes(4) + whole[-4:],
        "truncated within": gzip.compress(plain[: second + 1000]),
        "damaged header": gzip.compress(plain[:second] + b"X" + plain[second + 1 :]),
        "damaged header of the last": gzip.compress(plain[: second + 100] + b"\xff" * 8 + bytes(10240)),
    }
    for name, data in damaged.items():
        (tmp_path / "bad.tar.gz").write_bytes(data)
        with pytest.raises(
            SourceError, match=r"bad\.tar\.gz: not a readable tar\.gz .*delete it and download it again"
        ):
            extract_safely(tmp_path / "bad.tar.gz", tmp_path / "dataset")
        assert [path.name for path in tmp_path.iterdir()] == ["bad.tar.gz"], name


@pytest.mark.parametrize(
    ("names", "named"),
    [(["a" * 300], "a" * 300), (["a/b", "a/b/c"], "a/b/c"), (["a/b/c", "a/b"], "a/b"), (["."], ".")],
    ids=["long name", "folder after file", "file after folder", "the folder itself"],
)
def test_names_in_a_tar_that_a_file_system_cannot_store_are_errors_that_name_the_member(
    tmp_path: Path, names: list[str], named: str
) -> None:
    write_tar(tmp_path / "bad.tar.gz", *((name, b"x") for name in names))
    assert_refused(tmp_path / "bad.tar.gz", rf"member '{named}' has a name that this file system cannot store \(")
