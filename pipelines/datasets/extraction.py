"""Zips from outside, unpacked so that nothing is written anywhere else, and nothing by halves."""

import errno
import shutil
import stat
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pipelines.errors import SourceError

__all__ = ["extract_safely"]

MOST_EXTRACTED_BYTES = 4 * 2**30
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
"""What a file system answers to a name that it cannot have: too long, or taken by a folder, or by a file that is to be
a folder, or, on some, by the same letters in another case."""


def extract_safely(archive: Path, destination: Path, strip_prefix: str = "") -> None:
    """Unpacks a zip into `destination`, each name without `strip_prefix`; files that are there already are replaced.

    Every member is checked before the first is written, and nothing appears in `destination` before all are.
    Raises SourceError for a member that leads outside, is a link or special file, or is damaged, and for declared sizes
    over MOST_EXTRACTED_BYTES in all; OSError where the disk refuses.
    """
    temporary = destination.with_name(f".{destination.name}.extracting")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with ZipFile(archive) as opened:
            members = _checked_members(opened, archive, strip_prefix)
            temporary.mkdir(parents=True)
            for path, member in members.items():
                try:
                    _extract(opened, member, temporary / path)
                except OSError as error:
                    if error.errno not in NAME_ERRORS:
                        raise
                    problem = f"cannot have its name here ({error.strerror})"
                    raise SourceError(_refusal(archive, member, problem)) from None
        destination.mkdir(exist_ok=True)
        for entry in temporary.iterdir():
            entry.replace(destination / entry.name)
    except (BadZipFile, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise SourceError(f"{archive}: not a readable zip ({error}); delete it and fetch it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(opened: ZipFile, member: ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # ZipFile stops at the declared size and then checks the CRC, so a header cannot understate a bomb.
    with opened.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


def _refusal(archive: Path, member: ZipInfo, problem: str) -> str:
    return f"{archive}: member {member.filename!r} {problem}; delete the archive, do not unpack it"


def _checked_members(opened: ZipFile, archive: Path, strip_prefix: str) -> dict[PurePosixPath, ZipInfo]:
    members: dict[PurePosixPath, ZipInfo] = {}
    for member in opened.infolist():
        whole_name = member.filename.replace("\\", "/")  # which PowerShell writes
        name = whole_name.removeprefix(strip_prefix)
        windows_path = PureWindowsPath(name)  # knows drive letters
        if windows_path.anchor or ".." in windows_path.parts:
            problem = "leads outside its folder"
        elif stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            problem = "is a link or a special file"
        elif member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            problem = "is neither stored nor deflated"
        elif PurePosixPath(name) in members:
            problem = "is there twice"
        else:
            if not whole_name.endswith("/"):
                members[PurePosixPath(name)] = member
            continue
        raise SourceError(_refusal(archive, member, problem))
    total_bytes = sum(member.file_size for member in members.values())
    if total_bytes > MOST_EXTRACTED_BYTES:
        sizes = f"would unpack to {total_bytes:,} bytes, over {MOST_EXTRACTED_BYTES:,}"
        raise SourceError(f"{archive}: {sizes}; delete the archive, do not unpack it")
    return members
