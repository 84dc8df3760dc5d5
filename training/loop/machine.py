"""The machine that a run was made on, and the libraries that its numbers depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

__all__ = ["machine_facts"]

LIBRARIES = ("torch", "numpy", "pyarrow", "petastorm", "mlflow")


def machine_facts() -> dict[str, str]:
    """Names and values as text, for the tags of a run. Only cores that this process may use are counted."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "machine.cpu": _cpu_model(),
        "machine.cores": str(len(os.sched_getaffinity(0))),
        "machine.memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
        "machine.gpus": ", ".join(gpus) or "none",
        "machine.platform": platform.platform(),
        "version.python": platform.python_version(),
        "version.cuda": torch.version.cuda or "none",
        **{f"version.{library}": version(library) for library in LIBRARIES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
