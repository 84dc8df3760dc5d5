"""The decision's document: what its bytes depend on, and what they do not."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import RoadsignError
from training.retraining.decision import SCHEMA, Compared, Decision, canonical_json, document, sha256

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)
CLEAN = Compared(
    cell="clean", unit="group", images=7829, groups=261, champion_seeds=3, challenger_seeds=3, champion=0.96,
    challenger=0.97, challenger_low=0.95, challenger_high=0.98, difference=0.01, low=0.002, high=0.018, p_worse=1.0,
    p_worse_corrected=1.0, p_better=1e-7, p_better_corrected=1.4e-06, design_effect=4.9, verdict="better",
)  # fmt: skip
DECISION = Decision(True, "Promoted: better.", (CLEAN,), reasons=("better",), notes=("a note",))


def shuffled(value: Any) -> Any:
    """Equal, with the keys in reverse."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


@given(value=VALUES)
def test_equal_values_have_equal_bytes_whatever_the_order_of_their_keys(value: Any) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)


@given(value=VALUES)
def test_reading_and_writing_again_gives_the_same_bytes(value: Any) -> None:
    written = canonical_json(value)
    assert canonical_json(json.loads(written)) == written
    assert written.isascii()


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_kept_to_nine_digits_and_the_last_bits_do_not_count(number: float) -> None:
    written = float(canonical_json(number))
    assert math.isclose(written, number, rel_tol=1e-8) or math.isinf(written)
    assert math.copysign(1, written) == 1 or written < 0, "there is no -0"
    if 1e-300 < abs(number) < 1e300 and f"{number:.9g}" == f"{math.nextafter(number, math.inf):.9g}":
        assert canonical_json(math.nextafter(number, math.inf)) == canonical_json(number)


@given(key=st.text(), number=st.integers())
def test_keys_are_sorted_and_there_are_no_spaces(key: str, number: int) -> None:
    assert canonical_json({key: number, "": 0}).startswith(b'{"":')
    assert canonical_json({"b": 1, "a": [1, 2.5]}) == b'{"a":[1,2.5],"b":1}'


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: "key"}, {"path": Path("x")}, b"bytes"])
def test_values_that_json_cannot_represent_are_refused(value: Any) -> None:
    with pytest.raises(RoadsignError, match="cannot be written as JSON"):
        canonical_json({"value": value})


def test_the_documents_hash_is_that_of_its_file(tmp_path: Path) -> None:
    written = document(DECISION, {"code": "c0de", "forced": False})
    (tmp_path / "decision.json").write_bytes(written)
    said = subprocess.run(["sha256sum", tmp_path / "decision.json"], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == sha256(written)


def test_the_document_has_the_verdict_its_reasons_and_every_cell() -> None:
    values = json.loads(document(DECISION, {"code": "c0de", "forced": True}))
    assert (values["verdict"], values["reasons"], values["notes"]) == ("promoted", ["better"], ["a note"])
    assert (values["code"], values["forced"], values["format"]) == ("c0de", True, 1)
    assert values["cells"] == [CLEAN._asdict()]
    assert DECISION.table.schema == SCHEMA and DECISION.table.to_pylist() == [CLEAN._asdict()]
