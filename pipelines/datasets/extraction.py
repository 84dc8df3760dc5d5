"""Zips and tar.gz files from outside, unpacked so that nothing is written anywhere else, and nothing by halves."""

import errno
import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipelines.datasets.archive_members import DAMAGE, Member, Members, open_archive
from pipelines.errors import SourceError

__all__ = ["extract_safely"]

MOST_EXTRACTED_BYTES = 4 * 2**30
MOST_MEMBERS = 2**20
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
"""What a file system answers to a name that it cannot have: too long, or taken by a folder, or by a file that is to be
a folder, or, on some, by the same letters in another case."""


def extract_safely(archive: Path, destination: Path, strip_prefix: str = "") -> None:
    """Unpacks into `destination`, each name without `strip_prefix`; files that are there already are replaced.

    Every member is checked before the first is written, and nothing appears in `destination` before all are.
    Raises SourceError for a member that leads outside, is a link or special file, or is damaged, and for more than
    MOST_EXTRACTED_BYTES or MOST_MEMBERS in all; OSError where the disk refuses.
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
                    problem = f"cannot have its name here ({error.strerror})"
                    raise SourceError(_refusal(archive, member, problem)) from None
        destination.mkdir(exist_ok=True)
        for entry in temporary.iterdir():
            entry.replace(destination / entry.name)
    except DAMAGE as error:
        form = "tar.gz" if archive.name.endswith(("tar.gz", ".tgz")) else "zip"
        raise SourceError(f"{archive}: not a readable {form} ({error}); delete it and fetch it again") from None
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
        windows_path = PureWindowsPath(name)  # knows drive letters
        problem = member.problem
        if windows_path.anchor or ".." in windows_path.parts:
            problem = "leads outside its folder"
        elif PurePosixPath(name) in members:
            problem = "is there twice"
        if problem:
            raise SourceError(_refusal(archive, member, problem))
        if not member.is_folder:
            members[PurePosixPath(name)] = member
        total_bytes += member.size_bytes
        for what, found, most in (("bytes", total_bytes, MOST_EXTRACTED_BYTES), ("members", count, MOST_MEMBERS)):
            if found > most:
                much = f"would unpack to {found:,} {what}, over {most:,}"
                raise SourceError(f"{archive}: {much}; delete the archive, do not unpack it")
    return members
