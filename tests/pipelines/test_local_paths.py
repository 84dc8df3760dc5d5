"""Paths in settings: the home folder, URLs of local files, and URLs of other schemes."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.local_paths import expand_home, read_path

SEGMENTS = st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1)


@pytest.mark.parametrize("home", ["/home/a b", "/root"])
def test_home_is_expanded_in_paths(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    for read in (read_path, expand_home):
        assert [str(read(text)) for text in ("~", "~/x #2", "a/~", "./~")] == [home, f"{home}/x #2", "a/~", *(
            ["~"] if read is read_path else ["./~"]
        )]  # fmt: skip
        with pytest.raises(ValueError, match=r"there is no home folder ~nobody-here; .* write \./~nobody-here/x"):
            read("~nobody-here/x")


@pytest.mark.parametrize("scheme", ["s3", "s3a", "hdfs", "gs", "abfss", "http", "https", "S3A", "memory"])
@pytest.mark.parametrize("after", [":/", "://", ":///"])
def test_schemes_are_refused_by_name_in_paths(scheme: str, after: str) -> None:
    for given_as in (str, Path):
        with pytest.raises(ValueError, match=rf"^{scheme}: is not supported yet; use a local folder, or \./{scheme}"):
            read_path(given_as(f"{scheme}{after}bucket/x"))


@given(segments=SEGMENTS)
def test_file_urls_are_decoded_as_by_other_programs(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    for begin in ("file:", "file://", "FILE://", "file://localhost"):
        assert read_path(begin + quote(path)) == Path(path) or path.startswith("//")
    if not path.startswith("//"):
        assert read_path(Path(path).as_uri()) == Path(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file://nas/x", "is a file of the host nas"), ("file:///x?y", "use the path itself"), ("", "is empty"),
        ("file:///x#2", "use the path itself"), ("a\0b", "NUL"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_a_path_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_path(text)


@pytest.mark.parametrize("text", ["C:/x", "run:1", "a:b/c", "x/s3://y", "./s3://y", "models:1"])
def test_a_colon_does_not_make_a_path_a_url(text: str) -> None:
    assert read_path(text) == Path(text)
