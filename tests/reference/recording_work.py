"""Work for run_in_workers that writes down when its process was created and when it began to work."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class RecordingWork:
    folder: Path
    ballast: bytes = b""

    def __call__(self, items: Iterator[int]) -> None:
        process = psutil.Process()
        (self.folder / f"worker-{process.pid}").write_text(f"{process.create_time()} {time.time()}")
        for item in items:
            (self.folder / f"item-{item}").write_text(str(process.pid))
            time.sleep(0.1)
