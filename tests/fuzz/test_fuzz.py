"""Some inputs of the fuzzer in each run of the tests; `make fuzz` tries many more."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
import kinds
import mutations

INPUTS = 40


@pytest.mark.parametrize("name", kinds.KINDS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_inputs_are_refused_or_read_rightly(name: str, tmp_path: Path) -> None:
    kind = kinds.KINDS[name](tmp_path)
    found = [fuzz._try_one(kind, 1, number) for number in range(INPUTS)]
    assert [trace for what, trace in found if what == "violation"] == []
    assert "refused" in {what for what, _ in found}


@given(data=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_a_change_is_a_function_of_the_seed(data: bytes, seed: int) -> None:
    first, second = (mutations.mutate_bytes(data, np.random.default_rng(seed)) for _ in range(2))
    assert first == second


@given(seed=st.integers(0, 2**32))
def test_changed_values_do_not_depend_on_earlier_ones(seed: int) -> None:
    value = {"a": [1, 2, {"b": "c"}], "d": None}
    first, second = (json.dumps(mutations.mutate_json(value, np.random.default_rng(seed))) for _ in range(2))
    assert first == second
    assert value == {"a": [1, 2, {"b": "c"}], "d": None}


class Wrong(kinds.Kind):
    def try_one(self, rng: np.random.Generator) -> str:
        return kinds.outcome(lambda: 1, self._check)

    def _check(self, found: Any) -> None:
        raise kinds.WrongError("other pixels")


class Slow(kinds.Kind):
    def try_one(self, rng: np.random.Generator) -> str:
        time.sleep(30)
        return "accepted"


def test_wrong_results_tracebacks_and_hangs_are_violations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what, trace = fuzz._try_one(Wrong(tmp_path), 0, 0)
    assert what == "violation"
    assert "WrongError: other pixels" in trace
    what, trace = fuzz._try_one(None, 0, 0)
    assert what == "violation"
    assert "AttributeError" in trace
    monkeypatch.setattr(fuzz, "LONGEST_S", 1)
    before = signal.signal(signal.SIGALRM, fuzz._too_long)
    try:
        what, trace = fuzz._try_one(Slow(tmp_path), 0, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert what == "violation"
    assert "TimeoutError: more than 1 s" in trace
