"""A bucket of a real S3 protocol server on this machine."""

import time
from collections.abc import Callable, Iterator

import fsspec
import pytest
import s3fs
from s3_server import Server
from upath import UPath

from pipelines.places import read_place


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """use(url): what the environment says of an S3 server, as docs/datasets.md has it."""

    def set_environment(url: str) -> None:
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "hidden-in-no-file",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "2",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()

    yield set_environment
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def root(server: Server, use: Callable[[str], None], request: pytest.FixtureRequest) -> UPath:
    """A folder of its own in the bucket for each test."""
    use(server.url)
    store = fsspec.filesystem("s3")
    if not store.exists("bucket"):
        store.mkdir("bucket")
    place = read_place(f"s3a://bucket/{request.node.name.partition('[')[0]}-{time.time_ns()}")
    assert isinstance(place, UPath)
    return place
