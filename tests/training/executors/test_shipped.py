import pickle
import subprocess
import sys

import pytest

from training.executors.shipped import ShippedAttack, ShippedClassifier

WITHOUT_TORCH = """
import pathlib, pickle, sys
sys.modules["torch"] = None
shipped = pickle.loads(bytes.fromhex(sys.argv[1]))
try:
    shipped(pathlib.Path("."), 1, None)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "shipped",
    [
        ShippedAttack("model.pt", {"kind": "fgsm"}, {"fgsm-snr33": {"snr_db": 33.0}}, 0, 128),
        ShippedClassifier("model.pt", 512),
    ],
)
def test_a_missing_torch_on_an_executor_is_reported(shipped: ShippedAttack | ShippedClassifier) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, pickle.dumps(shipped).hex()]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("ExecutorError executor ")
    assert f"its Python, {sys.executable}, lacks torch; install the project there" in said
