"""What happens to a job: each fault is a function of a random generator and of how long the job takes undisturbed."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from running import HangError, Running
from victims import Undisturbed, Victim

__all__ = ["FAULTS", "Struck", "impossible"]

DISKS = """
cp -a "$OUT/." "$COPY/" && mount -t tmpfs -o size="$DISK" none "$OUT" && cp -a "$COPY/." "$OUT/" || exit 77
if [ -n "$READ_ONLY_AFTER_S" ]; then
  mount --bind "$OUT" "$OUT"; cd "$OUT"
  (sleep "$READ_ONLY_AFTER_S"; until mount -o remount,ro,bind "$OUT"; do sleep 0.02; done) 2>/dev/null & timer=$!
fi
cd "$OUT"; "$@"; code=$?
if [ -n "$timer" ]; then kill "$timer" 2>/dev/null; fi
rm -rf "$COPY"; mkdir "$COPY"; cp -a "$OUT/." "$COPY/"
exit $code
"""
"""A disk of its own for the working folder; what is on it afterwards is in $COPY."""
LEAST_DISK_BYTES = 2**16
JUMPS_S = (-86400, -3600, -60, 60, 3600, 86400)


class Struck(NamedTuple):
    """`codes` are the exit codes of what was started; `at_work` is False if the job had ended before the fault came.
    `wrong` are violations that were seen on the way, `told` is what happened."""

    codes: list[int]
    at_work: bool
    told: str
    wrong: list[str]


Random = np.random.Generator


def kill(who: str, number: int) -> Callable[[Victim, Random, Undisturbed], Struck]:
    def strike(victim: Victim, random: Random, undisturbed: Undisturbed) -> Struck:
        job = victim.start("disturbed.log")
        after_s = float(random.uniform(0.02, 1.0)) * undisturbed.seconds
        choice = float(random.random())
        at_work = job.wait_for_moment(after_s)
        struck = False
        while job.at_work and not struck:
            struck = _signal(job, who, number, choice)
            time.sleep(0.01)
        told = f"signal {number} to the {who} {after_s:.1f} s after the start"
        return Struck([job.end(longest_s(undisturbed))], at_work and struck, told, [])

    return strike


def _signal(job: Running, who: str, number: int, choice: float) -> bool:
    """False if there is no such process yet."""
    if who in ("driver", "trainer", "batch") and number == signal.SIGINT:
        job.interrupt()
        return True
    found = _processes(job, who)
    if not found:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        found[int(choice * len(found))].send_signal(number)
        return True
    return False


def _processes(job: Running, who: str) -> list[psutil.Process]:
    if who in ("driver", "trainer", "batch"):
        return [psutil.Process(job.process.pid)] if job.at_work else []
    found = []
    for process in job.family():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            workers = "pyspark.daemon" in line or "pyspark/worker" in line
            java = "java" in process.name()
            step = "/jobs/" in line and process.pid != job.process.pid and not workers and not java
            if {"java": java, "python worker": workers, "step": step}[who]:
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def on_a_disk(full: bool) -> Callable[[Victim, Random, Undisturbed], Struck]:
    def strike(victim: Victim, random: Random, undisturbed: Undisturbed) -> Struck:
        share, at_once = float(random.random()), bool(random.random() < 0.3)
        out, copy = victim.place.out, victim.place.work / "copy"
        copy.mkdir()
        there = sum(path.stat().st_size + 4096 for path in out.rglob("*"))
        room = int(there + share * undisturbed.added_bytes + LEAST_DISK_BYTES if full else 2**30)
        after_s = "" if full else f"{0 if at_once else share * undisturbed.seconds:.1f}"
        more = {"OUT": str(out), "COPY": str(copy), "DISK": str(room), "READ_ONLY_AFTER_S": after_s}
        job = victim.start("disturbed.log", more, ("unshare", "--mount", "--map-root-user", "sh", "-c", DISKS, "sh"))
        code = job.end(longest_s(undisturbed))
        if code == 77:
            raise HangError(f"a small disk could not be made: {job.said()[-500:]}")
        shutil.rmtree(out)
        copy.rename(out)
        told = f"a disk of {room:,} bytes" if full else f"read-only after {after_s} s"
        return Struck([code], code != 0, told, one_line(job, code))

    return strike


def two_at_once(victim: Victim, random: Random, undisturbed: Undisturbed) -> Struck:
    """The second starts at any time of the first, half of the times at once. One of them must succeed."""
    after_s = 0.0 if random.random() < 0.5 else float(random.random()) * undisturbed.seconds
    jobs = [victim.start("disturbed.log")]
    at_work = jobs[0].wait_for_moment(after_s)
    jobs.append(victim.start("second.log"))
    try:
        codes = [job.end(2 * longest_s(undisturbed)) for job in jobs]
    finally:
        jobs[1].process.poll()  # after a hang of the first, all were killed
    wrong = [] if 0 in codes else [f"of two at once none has succeeded: {codes}"]
    for job, code in zip(jobs, codes, strict=True):
        wrong += one_line(job, code)
    return Struck(codes, at_work, f"a second one {after_s:.1f} s after the first", wrong)


def clock_jump(victim: Victim, random: Random, undisturbed: Undisturbed) -> Struck:
    by_s, after_s = int(random.choice(JUMPS_S)), float(random.random()) * undisturbed.seconds
    more = {
        "LD_PRELOAD": str(_compiled(victim.place.folder)), "SOAK_JUMP_AT": str(int(time.time() + after_s)),
        "SOAK_JUMP_S": str(by_s),
    }  # fmt: skip
    job = victim.start("disturbed.log", more)
    at_work = job.wait_for_moment(after_s + 1)
    code = job.end(longest_s(undisturbed))
    return Struck([code], at_work, f"the clock is set by {by_s} s after {after_s:.1f} s", one_line(job, code))


def _compiled(folder: Path) -> Path:
    library = folder / "clock_jump.so"
    if not library.exists():
        source = Path(__file__).with_name("clock_jump.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def bad_connection(slow: bool) -> Callable[[Victim, Random, Undisturbed], Struck]:
    def strike(victim: Any, random: Random, undisturbed: Undisturbed) -> Struck:
        seed, share = int(random.integers(2**32)), float(random.choice([0.05, 0.2, 0.5]))
        kinds = ["slow"] if slow else ["reset", "lost", "503"]

        def fault_of(method: str, path: str, number: int) -> str | None:
            draw = np.random.default_rng([seed, number])
            return str(draw.choice(kinds)) if draw.random() < share else None

        victim.proxy.fault_of = fault_of
        before = victim.proxy.faults
        job = victim.start("disturbed.log")
        code = job.end(longest_s(undisturbed) + 600)
        faults = victim.proxy.faults - before
        told = f"{faults} of the requests: {', '.join(kinds)}"
        return Struck([code], faults > 0, told, one_line(job, code))

    return strike


def server_killed(victim: Any, random: Random, undisturbed: Undisturbed) -> Struck:
    """kill −9 to the tracking server, which is started again some time later."""
    after_s, away_s = (float(random.random()) * undisturbed.seconds for _ in range(2))
    job = victim.start("disturbed.log")
    at_work = job.wait_for_moment(after_s)
    victim.server.kill()
    job.wait_for_moment(after_s + away_s)
    victim.server.start()
    code = job.end(longest_s(undisturbed))
    told = f"the server is away for {away_s:.1f} s after {after_s:.1f} s"
    return Struck([code], at_work, told, one_line(job, code))


def longest_s(undisturbed: Undisturbed) -> float:
    return 300.0 + 10 * undisturbed.seconds


def one_line(job: Running, code: int) -> list[str]:
    """A job that fails says why in a line after which there is no traceback."""
    said = job.said()
    if code == 0:
        return []
    if "error: " not in said:
        return [f"it failed ({code}) and did not say why: {said[-1500:]}"]
    after = said.rpartition("error: ")[2]
    return [f"a traceback after its message: {after[:1500]}"] if "Traceback" in after else []


FAULTS: dict[str, Callable[[Victim, Random, Undisturbed], Struck]] = {
    **{
        f"{who} -{number}": kill(who, number)
        for who in ("driver", "java", "python worker", "trainer", "batch", "step")
        for number in (9, 15, 2)
    },
    "full disk": on_a_disk(full=True),
    "read-only folder": on_a_disk(full=False),
    "two at once": two_at_once,
    "clock jump": clock_jump,
    "slow connection": bad_connection(slow=True),
    "dropped connection": bad_connection(slow=False),
    "server -9": server_killed,
}  # fmt: skip


def impossible(fault: str) -> str:
    """Why this machine cannot have the fault, or "" if it can."""
    if fault in ("full disk", "read-only folder"):
        if shutil.which("unshare") is None:
            return "unshare is not installed"
        command = ["unshare", "--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs none /mnt"]
        return "" if subprocess.run(command, capture_output=True, check=False).returncode == 0 else "no mounts"
    if fault == "clock jump" and (shutil.which("cc") is None or os.uname().sysname != "Linux"):
        return "there is no C compiler"
    return ""
