import os
import subprocess
import sys

import torch

from training.loop.machine import machine_facts


def test_the_facts_are_those_that_the_system_and_the_libraries_tell() -> None:
    facts = machine_facts()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}  # which nproc obeys
    done = subprocess.run(["nproc"], env=plain, capture_output=True, text=True, check=True)
    assert facts["machine.cores"] == done.stdout.strip()
    assert facts["version.torch"] == torch.__version__.partition("+")[0]
    assert facts["version.python"] in sys.version
    assert (facts["machine.gpus"] == "none") == (not torch.cuda.is_available())
    assert all(isinstance(value, str) and value for value in facts.values())
