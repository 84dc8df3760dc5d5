"""Folders of a bucket that programs use as if they were on this machine."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from pipelines.errors import StoreError
from pipelines.places import below, read_remote
from pipelines.spark.images_to_score import list_folder
from pipelines.store.remote_copy import RemoteCopy, fetched, here, kept, shown


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def there(place: UPath) -> dict[str, str]:
    return {path: (place / path).read_text() for path in sorted(below(place))}


def test_a_local_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert here(tmp_path) == tmp_path
    assert shown(tmp_path) == str(tmp_path)
    assert RemoteCopy.of(tmp_path) is None
    with kept(tmp_path):
        write(tmp_path, a_txt="1")
    assert (tmp_path / "a.txt").read_text() == "1"


def test_a_copy_is_known_by_its_url(root: UPath) -> None:
    copy = here(root / "runs" / "a b")
    assert shown(copy) == f"{root}/runs/a b"
    found = RemoteCopy.of(copy)
    assert found is not None
    assert (found.place, found.folder) == (root / "runs" / "a b", copy)


def test_what_has_changed_is_sent_and_what_was_removed_is_removed(root: UPath) -> None:
    copy = RemoteCopy(root)
    write(copy.folder, a_txt="1", deep__er__b_txt="2", _c_partial="half", lease="3")
    write(copy.folder, kept_txt="4")
    copy.send()
    assert there(root) == {"a.txt": "1", "deep/er/b.txt": "2", "kept.txt": "4", "lease": "3"}
    (root / "other.txt").write_text("of another program")
    (root / "kept.txt").write_text("changed there, not here: not sent again")
    write(copy.folder, a_txt="5")
    (copy.folder / "deep/er/b.txt").unlink()
    copy.send()
    assert there(root) == {
        "a.txt": "5", "kept.txt": "changed there, not here: not sent again", "lease": "3",
        "other.txt": "of another program",
    }  # fmt: skip


def test_what_is_fetched_is_not_sent_back_and_can_be_removed(root: UPath) -> None:
    for name in ("run.json", "tracking/journal.jsonl", "tracking/sent", "model.pt", "_lease.00000001"):
        (root / name).write_text(name)
    copy = RemoteCopy(root)
    copy.fetch("*tracking/*")
    assert sorted(below(copy.folder)) == ["tracking/journal.jsonl", "tracking/sent"]
    (root / "tracking/sent").write_text("newer")
    (copy.folder / "tracking/journal.jsonl").unlink()
    copy.send()
    assert sorted(below(root)) == ["_lease.00000001", "model.pt", "run.json", "tracking/sent"]
    assert (root / "tracking/sent").read_text() == "newer"
    copy.fetch()
    assert sorted(below(copy.folder)) == ["model.pt", "run.json", "tracking/sent"]


@pytest.mark.parametrize("name", ["run/../../../out.txt", "run//out.txt"])
def test_the_name_of_an_object_does_not_lead_out_of_the_copy(root: UPath, name: str) -> None:
    root.fs.pipe_file(f"{root.path}/{name}", b"of somebody else")
    with pytest.raises(StoreError, match=f"has an object named {name}, which is in no folder"):
        RemoteCopy(root).fetch()


def test_objects_that_stand_for_folders_are_no_files(root: UPath) -> None:
    for name in ("", "signs/", "signs/1.png"):
        root.fs.call_s3("put_object", Bucket="bucket", Key=f"{root.path.partition('/')[2]}/{name}", Body=b"")
    assert below(root) == {"signs/1.png": 0}
    copy = RemoteCopy(root)
    copy.fetch()
    assert below(copy.folder) == {"signs/1.png": 0}
    assert [file.image_id for file in list_folder(root).files] == ["signs/1.png"]


def test_the_file_that_readers_go_by_is_sent_last(root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, sent = RemoteCopy(root, last="a.json"), []
    write(copy.folder, a_json="{}", z__b_txt="", c_txt="")
    put = root.fs.put_file
    monkeypatch.setattr(root.fs, "put_file", lambda here, there: (sent.append(there), put(here, there)))
    copy.send()
    assert [path.rpartition("/")[2] for path in sent] == ["c.txt", "b.txt", "a.json"]


def test_a_file_that_another_thread_removes_meanwhile_is_left_out(root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = RemoteCopy(root)
    write(copy.folder, a_txt="1", b_txt="2", c_txt="3")
    put = root.fs.put_file

    def removing(here: str, there: str) -> None:
        (copy.folder / "b.txt").unlink(missing_ok=True)
        put(here, there)

    monkeypatch.setattr(root.fs, "put_file", removing)
    copy.send()
    assert there(root) == {"a.txt": "1", "c.txt": "3"}


def test_one_file_is_fetched(root: UPath) -> None:
    (root / "model.pt").write_bytes(b"weights")
    path = fetched(f"{root}/model.pt")
    assert (path.name, path.read_bytes()) == ("model.pt", b"weights")
    with pytest.raises(StoreError, match=r"none.pt: there is no such bucket or file"):
        fetched(f"{root}/none.pt")
    with pytest.raises(StoreError, match="s3://bucket: names no folder inside the bucket"):
        fetched("s3://bucket")


def test_the_end_of_a_block_sends_and_removes_the_copy_even_if_it_fails(root: UPath) -> None:
    with kept(root):
        write(here(root), a_txt="1")
    with pytest.raises(ZeroDivisionError), kept(root):
        write(here(root), b_txt="2")
        raise ZeroDivisionError
    assert there(root) == {"a.txt": "1", "b.txt": "2"}
    assert not here(root).exists()


def test_a_missing_bucket_is_said_before_the_work(root: UPath) -> None:
    with pytest.raises(StoreError, match="there is no such bucket"), kept(read_remote("s3://no-such-bucket/x")):
        pytest.fail("the work has begun")


def test_a_store_that_does_not_answer_loses_nothing(
    root: UPath, use: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    use("http://127.0.0.1:9")
    place = read_remote(str(root))
    with pytest.raises(StoreError):
        RemoteCopy(place).fetch()
    copy = RemoteCopy(place)
    write(copy.folder, a_txt="1")
    with caplog.at_level(logging.WARNING):
        copy.send_later()
    assert "it is tried again with the next files" in caplog.text
    kept_here = tmp_path / "not_sent" / place.path
    with pytest.raises(StoreError, match=f"all files of it are in {kept_here}"), copy.sent():
        pass
    assert (kept_here / "a.txt").read_text() == "1"
    write(copy.folder, a_txt="2")
    with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError), copy.sent():
        raise ZeroDivisionError
    assert f"all files of it are in {kept_here}" in caplog.text
    assert (kept_here / "a.txt").read_text() == "2"
