"""Run folders, held for a moment."""

from pipelines.places import Place
from training.loop.run_folder import RunFolder, hold_run_folder

MINE, OTHER = "a" * 64, "a" * 6 + "b" * 58  # whose folders' names end alike


def begin(root: Place, fingerprint: str = MINE, resume: str = "never", finish: bool = False) -> RunFolder:
    with hold_run_folder(root, resume, "net-40px-seed0", fingerprint, "python jobs/x.py") as folder:
        if finish:
            folder.add_to_record(finished=True)
        return folder
