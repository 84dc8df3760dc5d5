"""The downloader, tested with a real HTTP server that fails in realistic ways."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
from archive_server import STALL_S, ArchiveServer, serving

from pipelines.datasets import download
from pipelines.datasets.download import DownloadSettings, fetch, missing_archives
from pipelines.datasets.gtsrb_published import GTSRB_PUBLISHED
from pipelines.datasets.published import Archive, Published
from pipelines.datasets.svhn import Svhn
from pipelines.datasets.transfer import CHUNK_BYTES
from pipelines.errors import SettingsError, SourceError
from pipelines.settings import load

REPOSITORY = Path(__file__).resolve().parents[3]
TRAINING, TEST, CLASSES = (archive.name for archive in GTSRB_PUBLISHED.archives)
NOISE = np.random.default_rng(0).bytes(10 * CHUNK_BYTES)
TREE = {
    "Final_Training/Images/00000/00000_00000.ppm": NOISE,
    "Final_Training/Images/00000/GT-00000.csv": b"Filename;ClassId\n",
    "Readme-Images.txt": b"training",
    "Final_Test/Images/00000.ppm": b"P6",
    "Final_Test/Images/GT-final_test.test.csv": b"Filename\n",
    "Readme-Images-Final-test.txt": b"test",
    "Final_Test/Images/GT-final_test.csv": b"Filename;ClassId\n00000.ppm;16\n",
}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def gtsrb_part(*names: str) -> bytes:
    return zipped({"GTSRB/": b""} | {f"GTSRB/{name}": TREE[name] for name in names})


PATHS = list(TREE)
FILES = {
    TRAINING: gtsrb_part(*PATHS[:3]),
    TEST: gtsrb_part(*PATHS[3:6]),
    CLASSES: zipped({"GT-final_test.csv": TREE[PATHS[6]]}),
}
PUBLISHED = Published(
    "http://127.0.0.1:1/",
    tuple(
        archive._replace(md5=hashlib.md5(FILES[archive.name], usedforsecurity=False).hexdigest())
        for archive in GTSRB_PUBLISHED.archives
    ),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FILES) as started:
        yield started


@pytest.fixture
def settings(server: ArchiveServer, tmp_path: Path) -> DownloadSettings:
    return DownloadSettings(
        destination=tmp_path / "raw" / "GTSRB", base_url=server.url, attempts=3, timeout_s=5, backoff_s=0.01
    )


def files_under(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_complete(settings: DownloadSettings) -> None:
    found = files_under(settings.folder())
    stamp = json.loads(found.pop("download.json"))
    assert found == TREE
    assert stamp["md5"] == {archive.name: archive.md5 for archive in PUBLISHED.archives}
    assert [path.name for path in settings.folder().parent.iterdir()] == ["GTSRB"]


def test_the_three_archives_become_one_dataset_and_nothing_else_stays(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    assert fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert server.requests == [(TRAINING, None), (TEST, None), (CLASSES, None)]


def test_a_second_run_sends_no_request(server: ArchiveServer, settings: DownloadSettings) -> None:
    fetch(settings, PUBLISHED)
    server.requests.clear()
    assert not fetch(settings, PUBLISHED)
    assert server.requests == []


def test_a_dropped_connection_is_resumed_with_a_range(server: ArchiveServer, settings: DownloadSettings) -> None:
    server.faults[TRAINING] = ["drop"]
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    asked = [wanted for name, wanted in server.requests if name == TRAINING]
    assert asked[0] is None
    assert len(asked) == 2
    half, start = len(FILES[TRAINING]) // 2, int((asked[1] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    assert half - CHUNK_BYTES < start <= half
    assert server.served_bytes < sum(map(len, FILES.values())) + CHUNK_BYTES


def test_a_server_that_ignores_the_range_is_read_from_the_start(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    server.faults[TRAINING] = ["drop", "ignore range"]
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert [name for name, _ in server.requests].count(TRAINING) == 2


def test_a_stalled_request_is_retried(server: ArchiveServer, settings: DownloadSettings) -> None:
    server.faults[TRAINING] = ["stall"]
    started_s = time.monotonic()
    fetch(settings.model_copy(update={"timeout_s": 0.3}), PUBLISHED)
    assert time.monotonic() - started_s < STALL_S / 2
    assert_complete(settings)
    assert [name for name, _ in server.requests].count(TRAINING) == 2


@pytest.mark.parametrize("status", ["503", "500", "429"])
def test_a_busy_server_is_retried(server: ArchiveServer, settings: DownloadSettings, status: str) -> None:
    server.faults[TEST] = [status, status]
    fetch(settings, PUBLISHED)
    assert_complete(settings)


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_missing_archive_fails_at_the_first_request(
    server: ArchiveServer, settings: DownloadSettings, status: str
) -> None:
    server.faults[TRAINING] = [status]
    with pytest.raises(SourceError, match=f"{server.url}{TRAINING}: .*{status}.*base_url"):
        fetch(settings, PUBLISHED)
    assert len(server.requests) == 1


def test_an_unreachable_server_is_named(server: ArchiveServer, settings: DownloadSettings) -> None:
    nobody = settings.model_copy(update={"base_url": "http://127.0.0.1:1/", "attempts": 2})
    with pytest.raises(SourceError, match=rf"http://127.0.0.1:1/{TRAINING}: .*\(2 attempts\); run again later"):
        fetch(nobody, PUBLISHED)


def test_wrong_bytes_are_deleted_and_downloaded_again(server: ArchiveServer, settings: DownloadSettings) -> None:
    server.faults[TRAINING] = ["corrupt"]
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert server.requests[:2] == [(TRAINING, None), (TRAINING, None)]


def test_bytes_that_stay_wrong_leave_no_dataset(server: ArchiveServer, settings: DownloadSettings) -> None:
    server.faults[TEST] = ["corrupt"] * 3
    with pytest.raises(SourceError, match=f"{TEST}: .*MD5.*3 attempts"):
        fetch(settings, PUBLISHED)
    assert not settings.folder().exists()
    assert list(files_under(settings.folder().parent)) == [f"GTSRB-archives/{TRAINING}"]


def test_a_partial_download_is_resumed_by_the_next_run(server: ArchiveServer, settings: DownloadSettings) -> None:
    server.faults[TRAINING] = ["drop"]
    with pytest.raises(SourceError, match=rf"run again to resume .*{TRAINING}\.part"):
        fetch(settings.model_copy(update={"attempts": 1}), PUBLISHED)
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert server.served_bytes < sum(map(len, FILES.values())) + CHUNK_BYTES


def put(settings: DownloadSettings, name: str, content: bytes) -> None:
    folder = download.archive_folder(settings.folder())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_a_complete_part_is_verified_without_downloading_it_again(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    put(settings, f"{TRAINING}.part", FILES[TRAINING])
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert server.served_bytes == len(FILES[TEST]) + len(FILES[CLASSES])


def test_a_part_that_is_too_long_is_downloaded_from_the_start(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    put(settings, f"{TRAINING}.part", FILES[TRAINING] + b"more")
    fetch(settings, PUBLISHED)
    assert_complete(settings)


def test_an_existing_archive_is_downloaded_again_only_if_it_is_damaged(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    put(settings, TRAINING, FILES[TRAINING])
    put(settings, TEST, b"half a zip")
    fetch(settings, PUBLISHED)
    assert_complete(settings)
    assert [name for name, _ in server.requests] == [TEST, CLASSES]


def test_a_run_killed_while_unpacking_is_completed_without_the_network(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    kill_at_third_archive = """
import os, sys
from pipelines.datasets import download
extract = download.extract_safely
def extract_or_die(archive, *rest, **named):
    os._exit(9) if archive.name == sys.argv[2] else extract(archive, *rest, **named)
download.extract_safely = extract_or_die
settings = download.DownloadSettings.model_validate_json(sys.argv[1])
archives = tuple(download.Archive(*archive) for archive in __import__("json").loads(sys.argv[3]))
download.fetch(settings, download.Published("http://127.0.0.1:1/", archives))
"""
    arguments = [settings.model_dump_json(), CLASSES, json.dumps(PUBLISHED.archives)]
    killed = subprocess.run([sys.executable, "-c", kill_at_third_archive, *arguments], cwd=REPOSITORY, check=False)
    assert killed.returncode == 9
    assert not settings.folder().exists()
    assert settings.folder().with_name(".GTSRB.extracting").exists()
    server.requests.clear()
    assert fetch(settings, PUBLISHED)
    assert server.requests == []
    assert_complete(settings)


def test_archives_are_kept_on_request(server: ArchiveServer, settings: DownloadSettings) -> None:
    fetch(settings.model_copy(update={"keep_archives": True}), PUBLISHED)
    assert files_under(download.archive_folder(settings.folder())) == FILES


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {"download.json": '{"md5": {}}'}, {"download.json": "["}])
def test_a_folder_that_this_job_did_not_finish_is_left_alone(
    server: ArchiveServer, settings: DownloadSettings, content: dict[str, str]
) -> None:
    settings.folder().mkdir(parents=True)
    for name, text in content.items():
        (settings.folder() / name).write_text(text)
    with pytest.raises(SourceError, match=r"GTSRB.*download\.json|download\.json.*GTSRB"):
        fetch(settings, PUBLISHED)
    assert {name: found.decode() for name, found in files_under(settings.folder()).items()} == content
    assert server.requests == []


def test_an_empty_destination_is_filled(server: ArchiveServer, settings: DownloadSettings) -> None:
    settings.folder().mkdir(parents=True)
    fetch(settings, PUBLISHED)
    assert_complete(settings)


def test_too_little_disk_space_is_noticed_before_the_first_byte(
    settings: DownloadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        SourceError, match=rf"{len(FILES[TRAINING]):,} more bytes are needed, but 1,000 are free; make room"
    ):
        fetch(settings, PUBLISHED)
    assert files_under(settings.folder().parent) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_an_error_that_names_the_place(settings: DownloadSettings) -> None:
    folder = download.archive_folder(settings.folder())
    folder.mkdir(parents=True)
    (folder / f"{TRAINING}.part").symlink_to("/dev/full")
    with pytest.raises(SourceError, match=r"GTSRB: No space left on device; make room"):
        fetch(settings, PUBLISHED)


def test_a_server_that_sends_without_end_is_stopped_at_the_size_of_the_file(
    server: ArchiveServer, settings: DownloadSettings
) -> None:
    sized = PUBLISHED._replace(
        archives=tuple(archive._replace(size_bytes=len(FILES[archive.name])) for archive in PUBLISHED.archives)
    )
    server.faults[TRAINING] = ["endless"]
    fetch(settings, sized)
    assert_complete(settings)
    assert server.requests[:2] == [(TRAINING, None), (TRAINING, None)]
    assert server.served_bytes < 100 * CHUNK_BYTES
    server.faults[TEST] = ["endless"] * 3
    elsewhere = settings.model_copy(update={"destination": settings.folder().with_name("other")})
    with pytest.raises(SourceError, match=rf"{TEST}: received more than the file's {len(FILES[TEST]):,} bytes"):
        fetch(elsewhere, sized)
    assert f"{TEST}.part" not in os.listdir(download.archive_folder(elsewhere.folder()))


EXTRA = Archive("extra.mat", hashlib.md5(b"extra", usedforsecurity=False).hexdigest(), 5)


@pytest.mark.parametrize("begun", [False, True])
def test_optional_files_are_added_to_a_finished_dataset(
    server: ArchiveServer, settings: DownloadSettings, begun: bool
) -> None:
    """Also if a killed run had already stored the file, but without its line in download.json."""
    server.files = {**FILES, EXTRA.name: b"extra"}
    both, more = PUBLISHED._replace(optional=(EXTRA,)), settings.model_copy(update={"optional": True})
    assert fetch(settings, both)
    assert not (settings.folder() / EXTRA.name).exists()
    if begun:
        (settings.folder() / EXTRA.name).write_bytes(b"ex")
    server.requests.clear()
    assert fetch(more, both)
    assert server.requests == [(EXTRA.name, None)]
    found = files_under(settings.folder())
    stamp = json.loads(found.pop("download.json"))
    assert found == TREE | {EXTRA.name: b"extra"}
    assert stamp["md5"] == {archive.name: archive.md5 for archive in (*PUBLISHED.archives, EXTRA)}
    assert [path.name for path in settings.folder().parent.iterdir()] == ["GTSRB"]
    assert not fetch(more, both)
    assert not fetch(settings, both)


def test_the_config_holds_the_defaults() -> None:
    config = REPOSITORY / "conf" / "download_dataset.yaml"
    assert load(DownloadSettings, config) == DownloadSettings()


def run_job(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    job = [sys.executable, str(REPOSITORY / "jobs" / "download_dataset.py"), *arguments]
    return subprocess.run(job, cwd=cwd, env=os.environ, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_it_would_do_from_any_folder(tmp_path: Path) -> None:
    ran = run_job(tmp_path, "gtsrb", "--dry-run", "destination=signs")
    assert ran.returncode == 0, ran.stderr
    for archive in GTSRB_PUBLISHED.archives:
        assert f"{GTSRB_PUBLISHED.base_url}{archive.name} ({archive.size_bytes:,} bytes" in ran.stdout
    assert "365,372,996 bytes in all" in ran.stdout
    assert str(tmp_path / "signs") in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_names_only_what_is_missing(tmp_path: Path) -> None:
    stamp = {archive.name: archive.md5 for archive in Svhn.published.archives}
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/download.json").write_text(json.dumps({"md5": stamp}))
    there = DownloadSettings(dataset="svhn", destination=tmp_path / "digits")
    assert list(missing_archives(there, Svhn.published)) == []
    ran = run_job(tmp_path, "svhn", "--dry-run", "destination=digits", "optional=true", "base_url=http://mirror/a/")
    assert ran.stdout.startswith("would fetch http://mirror/a/extra_32x32.mat (1,329,278,602 bytes"), ran.stderr
    assert "train_32x32.mat" not in ran.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mnits", "expected one of gtsrb, mnist, fashion_mnist, cifar10, cifar100, svhn, tiny_imagenet_200, got"),
        ("synthetic_signs", "synthetic_signs needs no download"),
    ],
)
def test_a_name_without_a_publisher_is_refused(name: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"dataset: .*{reason}"):
        load(DownloadSettings, REPOSITORY / "conf" / "download_dataset.yaml", [f"dataset={name}"])


def test_optional_is_refused_for_a_data_set_without_optional_files() -> None:
    with pytest.raises(SettingsError, match="optional: mnist has no optional files"):
        load(DownloadSettings, REPOSITORY / "conf" / "download_dataset.yaml", ["dataset=mnist", "optional=true"])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["gtsrb", "atempts=3"], 2, "atempts: unknown key"),
        (["image_folder"], 2, "image_folder reads your own folder"),
        (["gtsrb", "base_url=ftp://host/"], 2, "base_url"),
        (["gtsrb", "base_url=http://host:port/"], 1, "check base_url"),
        (["gtsrb", "destination=taken"], 1, "taken: exists"),
    ],
)
def test_the_job_says_what_is_wrong_without_a_traceback(
    tmp_path: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    ran = run_job(tmp_path, *arguments)
    assert ran.returncode == exit_code
    assert re.search(rf"^error: .*{re.escape(message)}", ran.stderr, re.MULTILINE | re.DOTALL), ran.stderr
    assert "Traceback" not in ran.stderr
