"""Unpacks untrusted zip and tar.gz files: nothing is written outside the destination, and all of it or nothing."""

import errno
import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipelines.datasets.archive_members import ARCHIVE_ERRORS, Member, Members, open_archive
from pipelines.errors import SourceError

__all__ = ["extract_safely"]

MAX_EXTRACTED_BYTES = 4 * 2**30
MAX_MEMBERS = 2**20
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
"""The errors of a file system for a name that it cannot store: too long, already taken by a folder, a parent that is a
file, or, on some file systems, a name that differs only in case."""


def extract_safely(archive: Path, destination: Path, strip_prefix: str = "") -> None:
    """Unpacks into `destination`, removing `strip_prefix` from each name; existing files are replaced.

    Every member is checked before any is written, and nothing appears in `destination` until all are written. Raises
    SourceError for a member that is outside the folder, a link, a special file or damaged, and for more than
    MAX_EXTRACTED_BYTES or MAX_MEMBERS in total; OSError if the disk fails.
    """
    temporary = destination.with_name(f".{destination.name}.extracting")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with open_archive(archive) as opened:
            members = _checked_members(opened, archive, strip_prefix)
            temporary.mkdir(parents=True)
            for path, member in members.items():
                try:
                    _extract(member, temporary / path)
                except OSError as error:
                    if error.errno not in NAME_ERRORS:
                        raise
                    problem = f"has a name that this file system cannot store ({error.strerror})"
                    raise SourceError(_refusal(archive, member, problem)) from None
        destination.mkdir(exist_ok=True)
        for entry in temporary.iterdir():
            entry.replace(destination / entry.name)
    except ARCHIVE_ERRORS as error:
        form = "tar.gz" if archive.name.endswith(("tar.gz", ".tgz")) else "zip"
        raise SourceError(f"{archive}: not a readable {form} ({error}); delete it and download it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(member: Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


def _refusal(archive: Path, member: Member, problem: str) -> str:
    return f"{archive}: member {member.name!r} {problem}; delete the archive, do not unpack it"


def _checked_members(opened: Members, archive: Path, strip_prefix: str) -> dict[PurePosixPath, Member]:
    members: dict[PurePosixPath, Member] = {}
    total_bytes = 0
    for count, member in enumerate(opened, start=1):
        name = member.name.removeprefix(strip_prefix)
        windows_path = PureWindowsPath(name)  # recognizes drive letters
        problem = member.problem
        if windows_path.anchor or ".." in windows_path.parts:
            problem = "is outside the folder"
        elif PurePosixPath(name) in members:
            problem = "occurs twice"
        if problem:
            raise SourceError(_refusal(archive, member, problem))
        if not member.is_folder:
            members[PurePosixPath(name)] = member
        total_bytes += member.size_bytes
        for what, found, most in (("bytes", total_bytes, MAX_EXTRACTED_BYTES), ("members", count, MAX_MEMBERS)):
            if found > most:
                excess = f"would unpack to {found:,} {what}, more than {most:,}"
                raise SourceError(f"{archive}: {excess}; delete the archive, do not unpack it")
    return members
