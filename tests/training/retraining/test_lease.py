"""Leases by a clock that the tests turn, and between real processes that are killed and stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from training.retraining import lease as module
from training.retraining.lease import Lease, LeaseBusyError, LeaseError, LeaseLostError, find_holder, leased, take

LASTS_S = 60.0
HOLD = """
import sys
from pathlib import Path
from training.retraining.lease import LeaseLostError, leased
with leased(Path(sys.argv[1]), "retraining", lasts_s=float(sys.argv[2])) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        lease.check()
        print("published", flush=True)
    except LeaseLostError as error:
        print(f"lost: {error}", flush=True)
"""


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def begin(folder: Path, clock: FakeClock, name: str = "retraining") -> Lease:
    return take(folder, name, LASTS_S, clock)


def test_a_second_batch_is_refused_and_the_running_one_is_named(tmp_path: Path, clock: FakeClock) -> None:
    begin(tmp_path / "new" / "gtsrb", clock)
    with pytest.raises(LeaseBusyError) as refused:
        begin(tmp_path / "new" / "gtsrb", clock)
    assert str(refused.value) == (
        f"{tmp_path}/new/gtsrb: retraining is locked by a running batch (process {os.getpid()} on "
        f"{socket.gethostname()} since 2027-01-15T08:00:00+00:00); wait for it to end, "
        "or if it has died, until 08:01:00 UTC"
    )
    begin(tmp_path / "new" / "gtsrb", clock, "another job").check()


def test_a_renewed_lease_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    lease = begin(tmp_path, clock)
    for _ in range(10):
        clock.now += LASTS_S - 1
        lease.renew()
        lease.check()
        with pytest.raises(LeaseBusyError):
            begin(tmp_path, clock)


def test_an_expired_lease_of_a_dead_holder_can_be_taken(tmp_path: Path, clock: FakeClock) -> None:
    dead = begin(tmp_path, clock)
    clock.now += LASTS_S - 0.01
    with pytest.raises(LeaseBusyError):
        begin(tmp_path, clock)
    clock.now += 0.02
    new = begin(tmp_path, clock)
    assert new.number == dead.number + 1
    assert [path.name for path in tmp_path.iterdir()] == [".retraining.lease.00000002"]
    new.check()


def test_a_released_lease_can_be_taken_at_once(tmp_path: Path, clock: FakeClock) -> None:
    lease = begin(tmp_path, clock)
    lease.release()
    assert find_holder(tmp_path, "retraining", clock) is None
    begin(tmp_path, clock).check()
    with pytest.raises(LeaseLostError):
        lease.check()


def test_a_suspended_holder_loses_its_lease_even_if_nobody_took_it(tmp_path: Path, clock: FakeClock) -> None:
    """Somebody may be taking it this moment."""
    lease = begin(tmp_path, clock)
    clock.now += LASTS_S
    for ask in (lease.check, lease.renew, lease.check):
        with pytest.raises(LeaseLostError, match="was not renewed for more than 60 s"):
            ask()


def test_a_holder_that_was_superseded_stays_so(tmp_path: Path, clock: FakeClock) -> None:
    """Its own clock is behind: by it, the lease would last."""
    behind = FakeClock()
    lease = begin(tmp_path, behind)
    clock.now += LASTS_S + 1
    other = begin(tmp_path, clock)
    with pytest.raises(LeaseLostError, match="another process holds the lease now"):
        lease.check()
    for ask in (lease.renew, lease.check):
        with pytest.raises(LeaseLostError):
            ask()
    lease.release()
    other.check()
    with pytest.raises(LeaseBusyError):
        begin(tmp_path, clock)


def test_a_renewal_that_comes_too_late_does_not_touch_the_others_lease(tmp_path: Path, clock: FakeClock) -> None:
    behind = FakeClock()
    lease = begin(tmp_path, behind)
    clock.now += LASTS_S + 1
    other = begin(tmp_path, clock)
    with pytest.raises(LeaseLostError):
        lease.renew()
    other.check()
    assert find_holder(tmp_path, "retraining", clock) is not None


def test_unknown_content_of_the_folder_is_named(tmp_path: Path, clock: FakeClock) -> None:
    for content in ("", "[]", "{}"):
        (tmp_path / ".retraining.lease.00000001").write_text(content)
        with pytest.raises(LeaseError, match=r"retraining\.lease\.00000001: not a lease of this version; remove it"):
            begin(tmp_path, clock)


def test_files_of_killed_processes_are_removed(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / ".retraining.lease.00000001.0f3a").write_text("")
    begin(tmp_path, clock).release()
    begin(tmp_path, clock)
    assert [path.name for path in tmp_path.iterdir()] == [".retraining.lease.00000002"]


@pytest.mark.parametrize("others", [1, 2])
def test_a_process_suspended_between_check_and_take_takes_no_lease_from_others(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """One has taken the lease meanwhile; or one has come and gone, and another one has it."""
    begin(tmp_path, clock).release()

    def look_and_fall_asleep(*arguments: object) -> tuple[int, None]:
        monkeypatch.undo()
        for _ in range(others - 1):
            begin(tmp_path, clock).release()
        awake.append(begin(tmp_path, clock))
        return 1, None

    awake: list[Lease] = []
    monkeypatch.setattr(module, "_newest", look_and_fall_asleep)
    with pytest.raises(LeaseBusyError, match="just started by another process"):
        begin(tmp_path, clock)
    assert [path.name for path in tmp_path.iterdir()] == [f".retraining.lease.0000000{1 + others}"]
    awake[0].check()


def test_only_one_of_many_processes_gets_the_lease(tmp_path: Path, clock: FakeClock) -> None:
    got: list[Lease] = []

    def attempt(together: threading.Barrier) -> None:
        together.wait()
        with contextlib.suppress(LeaseBusyError):
            got.append(begin(tmp_path, clock))

    for number in range(1, 16):
        together = threading.Barrier(6)
        threads = [threading.Thread(target=attempt, args=(together,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == number
        got[-1].check()
        clock.now += LASTS_S


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LeaseError, match=r"file/gtsrb: retraining cannot be leased \(Not a directory\)"):
        begin(tmp_path / "file" / "gtsrb", clock)


def test_a_deleted_folder_is_a_lost_lease(tmp_path: Path, clock: FakeClock) -> None:
    lease = begin(tmp_path / "gtsrb", clock)
    for path in (tmp_path / "gtsrb").iterdir():
        path.unlink()
    with pytest.raises(LeaseLostError, match="another process holds the lease now"):
        lease.check()
    lease = begin(tmp_path / "gtsrb", clock)
    (tmp_path / "gtsrb").rename(tmp_path / "moved")
    with pytest.raises(LeaseLostError, match="No such file or directory"):
        lease.check()


def hold(folder: Path, lasts_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), str(lasts_s)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def take_over(folder: Path, lasts_s: float) -> float:
    """Seconds until it was had."""
    began = time.monotonic()
    while time.monotonic() < began + 20 * lasts_s:
        try:
            take(folder, "retraining", lasts_s)
            return time.monotonic() - began
        except LeaseBusyError:
            time.sleep(0.02)
    raise AssertionError("the lease was never free")


@pytest.mark.slow
def test_a_killed_holder_is_followed_within_the_time_that_its_lease_lasts(tmp_path: Path) -> None:
    lasts_s = 4.0
    holder = hold(tmp_path, lasts_s)
    with holder:
        time.sleep(1.5 * lasts_s)
        with pytest.raises(LeaseBusyError, match=f"process {holder.pid} on"):
            take(tmp_path, "retraining", lasts_s)
        holder.kill()
        holder.wait()
        failover_s = take_over(tmp_path, lasts_s)
    print(f"failover {failover_s:.2f} s of a lease of {lasts_s} s")
    assert failover_s <= lasts_s + 1


@pytest.mark.slow
def test_a_holder_that_is_stopped_and_goes_on_does_not_publish(tmp_path: Path) -> None:
    with hold(tmp_path, 2.0) as holder:
        holder.send_signal(signal.SIGSTOP)
        take_over(tmp_path, 2.0)
        holder.send_signal(signal.SIGCONT)
        said, _ = holder.communicate("now\n", timeout=60)
    assert said.startswith("lost: ")
    with pytest.raises(LeaseBusyError, match=f"process {os.getpid()} on"):
        take(tmp_path, "retraining", 2.0)


@pytest.mark.slow
def test_the_end_of_the_block_releases_the_lease(tmp_path: Path) -> None:
    with pytest.raises(ValueError), leased(tmp_path, "retraining", 30.0) as lease:
        lease.check()
        raise ValueError
    assert take_over(tmp_path, 30.0) < 5
