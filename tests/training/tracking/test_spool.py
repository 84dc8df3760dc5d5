"""The journal of a run and its sender, with receivers that die, hang, refuse and return."""

import errno
import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.tracking.sender import RefusedError, Sender, UnreachableError
from training.tracking.spool import Event, Spool, SpoolBusyError, TrackingError


class Ear:
    """Receives everything while it is `there`."""

    def __init__(self) -> None:
        self.there = True
        self.heard: list[Event] = []
        self.files: dict[str, bytes] = {}

    def check(self) -> None:
        if not self.there:
            raise UnreachableError("away")

    def take(self, events: Sequence[Event], spool: Path) -> None:
        self.check()
        for event in events:
            if event.get("step") == -1:
                raise RefusedError("no negative steps")
        self.heard += events
        self.files |= {event["file"]: (spool / event["file"]).read_bytes() for event in events if "file" in event}

    @property
    def steps(self) -> list[int]:
        return [event["step"] for event in self.heard]


class HangingEar(Ear):
    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def take(self, events: Sequence[Event], spool: Path) -> None:
        self.released.wait(30)
        super().take(events, spool)


def tell(spool: Spool, *steps: int) -> None:
    for step in steps:
        spool.append(do="metrics", run_id="r", metrics={"loss": 0.5}, step=step, at_ms=0)


@settings(max_examples=30, deadline=None)
@given(kinds=st.lists(st.sampled_from(["metrics r", "metrics s", "tags r"]), max_size=20), data=st.data())
def test_events_arrive_once_and_in_order_whenever_the_receiver_is_unreachable(
    kinds: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ear = Ear()
    with Spool.opened(tmp_path_factory.mktemp("spool")) as spool:
        for number, kind in enumerate(kinds):
            do, run_id = kind.split()
            spool.append(do=do, run_id=run_id, step=number)
            if data.draw(st.booleans()):
                ear.there = data.draw(st.booleans())
                try:
                    Sender(spool, ear).send()
                    assert spool.unsent() == 0
                except UnreachableError:
                    assert not ear.there
        ear.there = True
        Sender(spool, ear).send()
    assert ear.steps == list(range(len(kinds)))


def test_a_batch_is_metrics_of_one_run_or_one_event(tmp_path: Path) -> None:
    with Spool.opened(tmp_path) as spool:
        tell(spool, 1, 2)
        spool.append(do="tags", run_id="r", tags={})
        spool.append(do="tags", run_id="r", tags={})
        tell(spool, 3)
        spool.append(do="metrics", run_id="other", metrics={}, step=4, at_ms=0)
        sizes = []
        while (batch := spool.next_batch())[0]:
            spool.note_sent(*batch)
            sizes.append(len(batch[0]))
    assert sizes == [2, 1, 1, 1, 1]


def test_a_line_cut_by_a_kill_is_dropped_and_the_journal_goes_on(tmp_path: Path) -> None:
    with Spool.opened(tmp_path) as spool:
        tell(spool, 1, 2)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert Spool(tmp_path).unsent() == 1
    ear = Ear()
    with Spool.opened(tmp_path) as spool:
        tell(spool, 3)
        Sender(spool, ear).send()
    assert ear.steps == [1, 3]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with Spool.opened(tmp_path) as spool:
        tell(spool, 1)
        (tmp_path / "journal.jsonl").write_bytes(b"\0\0\0\n")
        with pytest.raises(TrackingError, match=r"journal\.jsonl: corrupt before byte 4"):
            spool.unsent()


def test_a_file_is_kept_as_it_was_and_its_copy_goes_when_it_is_sent(tmp_path: Path) -> None:
    original = tmp_path / "model.pt"
    original.write_bytes(b"epoch 1")
    ear = Ear()
    with Spool.opened(tmp_path / "spool") as spool:
        spool.append(do="file", run_id="r", file=spool.keep(original), folder="")
        original.write_bytes(b"epoch 2, half writ")
        Sender(spool, ear).send()
    assert {Path(name).name: content for name, content in ear.files.items()} == {"model.pt": b"epoch 1"}
    assert list((tmp_path / "spool").rglob("model.pt")) == []


def test_a_refused_event_is_set_aside_without_losing_others(tmp_path: Path) -> None:
    ear = Ear()
    with Spool.opened(tmp_path) as spool:
        tell(spool, 1, -1, 2)
        sender = Sender(spool, ear)
        sender.send()
        assert spool.unsent() == 0
    assert ear.steps == [1, 2]
    assert sender.refused == ["no negative steps"]
    (aside,) = (json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines())
    assert aside["event"]["step"] == -1


def test_the_thread_sends_while_the_run_continues(tmp_path: Path) -> None:
    ear = Ear()
    with Spool.opened(tmp_path) as spool:
        sender = Sender(spool, ear)
        sender.start()
        tell(spool, 1)
        deadline = time.monotonic() + 20
        while ear.steps != [1] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ear.steps == [1]
        tell(spool, 2)
        sender.close(patience_s=20)
    assert ear.steps == [1, 2]


def test_a_hanging_receiver_delays_nothing_and_unsent_events_are_kept(tmp_path: Path) -> None:
    ear = HangingEar()
    with Spool.opened(tmp_path) as spool:
        sender = Sender(spool, ear)
        sender.start()
        tell(spool, 1)
        time.sleep(1)
        began = time.monotonic()
        tell(spool, *range(2, 12))
        sender.close(patience_s=0.5)
        assert time.monotonic() - began < 3
        assert spool.unsent() == 11
    ear.released.set()
    sender._thread.join(20)
    assert Spool(tmp_path).unsent() == 11, "a thread that was given up wrote into a spool that may be another's"


def test_a_spool_has_one_writer(tmp_path: Path) -> None:
    with Spool.opened(tmp_path), pytest.raises(SpoolBusyError, match="still in progress"), Spool.opened(tmp_path):
        pass
    with Spool.opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be created"), Spool.opened(tmp_path / "file" / "tracking"):
        pass


OUTSIDE = [
    "../../secret",
    "files/x/../../../../secret",
    "{root}/secret",
    "files/link/secret",
    "files/x/link",
    "about.json",
    ".",
]


@pytest.mark.parametrize("named", OUTSIDE)
def test_paths_in_a_spool_from_elsewhere_stay_in_its_folder(tmp_path: Path, named: str) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "run" / "tracking"
    secret.write_text("a file of this machine")
    (folder / "files" / "x").mkdir(parents=True)
    (folder / "files" / "x" / "link").symlink_to(secret)
    (folder / "files" / "link").symlink_to(tmp_path)
    with Spool.opened(folder) as spool:
        event = {"do": "file", "run_id": "r", "file": named.format(root=tmp_path), "folder": ""}
        with pytest.raises(TrackingError, match="neither sent nor removed"):
            spool.kept(event)
        spool.append(**event)
        spool.note_sent(*spool.next_batch())
    assert secret.read_text() == "a file of this machine" and folder.is_dir()


def test_a_model_folder_with_a_link_in_it_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("")
    with Spool.opened(tmp_path / "tracking") as spool:
        event = {"do": "model", "run_id": "r", "file": spool.keep(tmp_path / "model")}
        assert spool.kept(event).is_dir()
        (spool.kept(event) / "data").symlink_to("/etc")
        with pytest.raises(TrackingError, match="or is a link"):
            spool.kept(event)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"5",
        b'{"do": 3, "run_id": "r"}',
        b'{"do": "file"}',
        b'{"do": "file", "run_id": "r", "file": 7}',
        b"[" * 9999,
    ],
)
def test_lines_that_are_not_events_are_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(line + b"\n")
    with pytest.raises(TrackingError, match=r"journal\.jsonl: corrupt before byte"):
        Spool(tmp_path).unsent()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"uri": "http://x"}', '{"uri": 5, "run_id": "r"}'])
def test_a_spool_without_its_run_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "about.json").write_text(content)
    with pytest.raises(TrackingError, match=r"about\.json: "):
        _ = Spool(tmp_path).about


@pytest.mark.parametrize("content", ["", "-5", "three"])
def test_a_damaged_position_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "sent").write_text(content)
    with pytest.raises(TrackingError, match="sent: not readable; remove it"):
        Spool(tmp_path).unsent()


def test_a_full_disk_is_reported_for_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Spool.opened(tmp_path) as spool:
        tell(spool, 1)
        batch = spool.next_batch()
        monkeypatch.setattr(os, "fsync", full)
        monkeypatch.setattr(Path, "mkdir", full)
        for write in (
            lambda: tell(spool, 2), lambda: spool.note_sent(*batch), lambda: spool.keep_text("a", "b"),
            lambda: setattr(spool, "about", {}),
        ):  # fmt: skip
            with pytest.raises(TrackingError, match=r"No space left on device.*make room"):
                write()
        sender = Sender(spool, Ear())
        sender.start()
        sender.close(patience_s=20)
        assert not sender._thread.is_alive()


def test_copies_that_a_killed_process_has_left_are_removed_and_unsent_ones_are_kept(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    with Spool.opened(tmp_path / "spool") as spool:
        unsent = spool.keep(tmp_path / "model")
        spool.append(do="file", run_id="r", file=unsent, folder="")
        never_told = spool.keep(tmp_path / "model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = spool.folder / "files" / "link"
    link.symlink_to(elsewhere)
    with Spool.opened(spool.folder):
        assert (spool.folder / unsent).read_bytes() == b"weights"
        assert not (spool.folder / never_told).parent.exists()
        assert link.is_symlink() and elsewhere.is_dir()
    spool.folder.joinpath("journal.jsonl").write_text("not an event\n")
    with Spool.opened(spool.folder):
        assert (spool.folder / unsent).exists(), "a journal that cannot be read says nothing"
