"""Send what a tracking server has not received.

    uv run python jobs/sync_tracking.py [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/sync_tracking.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import StoreError
from pipelines.job.run import run_job
from pipelines.places import Remote
from pipelines.settings import Settings, StorePath, parse_arguments
from pipelines.store.remote_copy import RemoteCopy, here
from training.tracking import Spool, SpoolBusyError, TrackingError, send_kept

CONFIG = Path(__file__).parents[1] / "conf" / "sync_tracking.yaml"


class SyncTracking(Settings):
    runs_root: StorePath


def sync(spool: Spool) -> None:
    try:
        sent = send_kept(spool)
    except SpoolBusyError:
        print(f"{spool.name}: its run is still in progress and sends by itself; skipped")
        return
    print(f"{spool.name}: {sent.events} events of run {sent.run_id} sent to {sent.uri}")
    if sent.refused:
        print(f"{spool.name}: {len(sent.refused)} of them rejected, kept in refused.jsonl: {sent.refused[0]}")


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(SyncTracking, CONFIG, __doc__ or "", arguments)
    if isinstance(settings.runs_root, Remote):
        RemoteCopy(settings.runs_root).fetch("*tracking/*")
    elif not settings.runs_root.is_dir():
        raise TrackingError(f"runs_root={settings.runs_root}: no such folder; use the folder of your runs")
    errors, told = [], 0
    for spool in Spool.all_below(here(settings.runs_root)):
        try:
            if not (unsent := spool.unsent()):
                continue
            told += 1
            if dry_run:
                print(f"{spool.name}: {unsent} events to send to {spool.about.get('uri')}")
            else:
                sync(spool)
        except (TrackingError, StoreError) as error:  # of one run; the others are still sent
            errors.append(str(error))
    if errors:
        raise TrackingError("\n".join(errors))
    if not told:
        print(f"{settings.runs_root}: nothing to send")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
