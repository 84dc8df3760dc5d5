"""The soak finds what is broken, and goes on where it was; `make soak` runs it on the real jobs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

import faults
import soak
from disturbing import Result, fault_of
from running import JOBS, SERVERS, Place, marked
from victims import Victim

PROGRAM = Path(__file__).with_name("soak.py")
WRITES = "import pathlib, time; time.sleep({seconds}); pathlib.Path('result').write_text({text!r})"


class Whole(Victim):
    """A job of half a second that does nothing wrong: killed, it makes its result when it is run again."""

    name = "whole"
    faults: ClassVar[tuple[str, ...]] = ("trainer -9", "trainer -15", "two at once")
    program: ClassVar[str] = WRITES.format(seconds=0.5, text="right")

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program]

    def results(self) -> list[Any]:
        path = self.place.out / "result"
        return [path.read_text()] if path.exists() else []


class Broken(Whole):
    """Right when undisturbed; when it finds that it was there before, `then` happens."""

    faults = ("trainer -9",)
    then: ClassVar[str]

    def command(self) -> list[str]:
        again = f"import pathlib as p\nif p.Path('seen').exists():\n {self.then}\np.Path('seen').touch()\n"
        return [sys.executable, "-c", again + self.program]


class WrongAgain(Broken):
    then = "p.Path('result').write_text('wrong'); raise SystemExit"


class FailsAgain(Broken):
    then = "raise SystemExit('error: locked')"


class LeavesFile(Broken):
    then = "p.Path('.lock').touch()"


class LeavesTemporaryFolder(Whole):
    faults = ("trainer -15",)
    program = "import tempfile; tempfile.mkdtemp(prefix='left-'); " + WRITES.format(seconds=0.5, text="right")


class LeavesProcess(Whole):
    faults = ("trainer -9",)
    program = "import subprocess; child = subprocess.Popen(['sleep', '600']); import time; time.sleep(1); child.kill()"

    def results(self) -> list[Any]:
        return ["none"]


class ShowsHalf(Whole):
    faults = ("trainer -9",)

    def broken(self) -> list[str]:
        return [] if (self.place.out / "result").exists() else ["half a dataset is visible"]


class Hangs(Whole):
    faults = ("two at once",)
    program = (
        "import os, time; time.sleep(600 if os.path.exists('../disturbed.log') else 0.3); "
        "open('result', 'w').write('right')"
    )


BROKEN: dict[type[Victim], str] = {
    WrongAgain: "another result: ['wrong'], expected ['right']",
    FailsAgain: "run again it ended with 1: error: locked",
    LeavesFile: "1 files .lock, expected 0",
    LeavesTemporaryFolder: "left in the temporary folder: left-",
    LeavesProcess: "a process outlives its job: sleep 600",
    ShowsHalf: "half a dataset is visible",
    Hangs: "did not end within",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invariants.ENDS_WITHIN_S", 0.5)
    monkeypatch.setattr("faults.longest_s", lambda _: 3.0)
    monkeypatch.delenv(SERVERS, raising=False)


def struck(victim: type[Victim], folder: Path) -> Result:
    """The first fault that came before the job had ended."""
    of = soak.Soak(folder, 0, {victim.name: victim})
    return next(one for number in range(20) if (one := of.run_one(number)).outcome != "late")


@pytest.mark.parametrize("victim", BROKEN, ids=lambda victim: victim.__name__)
def test_a_broken_job_is_a_violation(victim: type[Victim], tmp_path: Path) -> None:
    found = struck(victim, tmp_path)
    assert found.outcome == "violation", found
    assert any(BROKEN[victim] in line for line in found.wrong), found.wrong
    assert (tmp_path / "kept" / str(found.number) / "out").is_dir(), "what it left is kept"
    assert marked(tmp_path) == []


def test_an_error_of_the_soak_itself_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Whole, "afterwards", lambda _: 1 / 0)
    found = struck(Whole, tmp_path)
    assert found.outcome == "violation" and "ZeroDivisionError" in found.wrong[0]


def test_a_whole_job_survives_and_the_table_counts_it(tmp_path: Path) -> None:
    console = Console(width=120, record=True)
    of = soak.Soak(tmp_path, 0, {"whole": Whole})
    assert soak.soak(of, 6, 5, console) == 0
    assert "6 faults, seed 0: 0 violations" in console.export_text()
    assert {one.outcome for one in of.results()} <= {"survived", "late"}
    assert {one.kind for one in of.results()} == set(Whole.faults)


def test_a_violation_says_how_to_repeat_it_and_ends_with_1(tmp_path: Path) -> None:
    console = Console(width=200, record=True)
    of = soak.Soak(tmp_path, 7, {"broken": LeavesTemporaryFolder})
    assert soak.soak(of, 3, 5, console) == 1
    number = next(one.number for one in of.results() if one.wrong)
    repeat = f"repeat: python tests/soak/soak.py --seed 7 --folder {tmp_path} --only {number} --jobs 'broken'"
    assert repeat in console.export_text().splitlines()


def test_a_fault_is_a_function_of_the_seed_and_its_number() -> None:
    victims = soak.all_victims()
    pairs = sum(len(victim.faults) for victim in victims.values())
    first, second = ([fault_of(3, number, victims) for number in order] for order in (range(pairs), range(pairs)))
    assert first == second
    assert len({one[1:] for one in first}) == pairs, "each pair once in each round"
    assert first != [fault_of(4, number, victims) for number in range(pairs)]


def test_a_soak_goes_on_where_it_was_also_after_half_a_line(tmp_path: Path) -> None:
    of = soak.Soak(tmp_path, 0, {"whole": Whole})
    before = [of.run_one(number) for number in range(2)]
    with of.path.open("a") as file:
        file.write('{"number": 2, "job": "who')
    again = soak.Soak(tmp_path, 0, {"whole": Whole})
    soak.soak(again, 3, 5, Console(quiet=True))
    assert [one.number for one in again.results()] == [0, 1, 2]
    assert json.loads(json.dumps(again.results()[:2])) == json.loads(json.dumps(before))
    with pytest.raises(SystemExit, match="use another --folder"):
        soak.Soak(tmp_path, 1, {"whole": Whole})


def test_what_a_killed_soak_has_left_at_work_is_ended(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, JOBS: str(tmp_path)})
    assert [process.pid for process in marked(tmp_path)] == [left.pid]
    soak.Soak(tmp_path, 0, {"whole": Whole})
    left.wait(30)
    assert marked(tmp_path) == []


def test_every_fault_of_every_job_exists() -> None:
    for victim in soak.all_victims().values():
        assert set(victim.faults) <= faults.FAULTS.keys()
        assert len(set(victim.faults)) == len(victim.faults)
    assert Place(Path("x")).out == Path("x/work/out")


@pytest.mark.slow
def test_a_short_soak_of_the_real_jobs_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--minutes", "4", "--folder", str(tmp_path / "soak")]
    done = subprocess.run([*command, "--jobs", "short"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 violations" in done.stdout
