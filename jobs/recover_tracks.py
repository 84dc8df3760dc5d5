"""Find which test images of GTSRB show one sign.

    python jobs/recover_tracks.py dataset.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/recover_tracks.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.errors import StoreError
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store.provenance import made_by
from pipelines.store.recovered_groups import RecoveredGroups
from pipelines.tracks.recovery import RecoverTracks, learn, measure, recover, source_digest
from pipelines.tracks.views import read_views

CONFIG = Path(__file__).parents[1] / "conf" / "recover_tracks.yaml"


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(RecoverTracks, CONFIG, __doc__ or "", arguments)
    listing = settings.dataset.listing()
    training, test = settings.chosen(listing)
    tracks = len({image.unit for image in training})
    console.print(
        f"{listing.found}: {len(test):,} test images are {len(test) // settings.frames:,} tracks; to learn from are "
        f"{len(training):,} training images of {tracks:,} tracks"
    )
    for remark in (*listing.remarks, *(f"rejected: {': '.join(rejected)}" for rejected in listing.rejected)):
        console.print(remark)
    if dry_run:
        console.print(to_yaml(settings))
        console.print("dry run: nothing was made")
        return
    known = read_views(training)
    measured = measure(settings, known)
    for sentence in measured.sentences():
        console.print(sentence)
    if measured.overall and min(measured.overall.precision, measured.overall.recall) < settings.at_least:
        raise StoreError(
            f"{settings.output}: not written: pairwise precision {measured.overall.precision:.4f} and recall "
            f"{measured.overall.recall:.4f} on training tracks are not both {settings.at_least} or more, so the "
            "recovered groups are unreliable; check that this copy is complete, with all frames of each track"
        )
    hidden = read_views(test)
    names = recover(settings, hidden, learn(known))
    rows = [(image.image_id, image.label, name) for image, name in zip(hidden.images, names, strict=True)]
    groups = RecoveredGroups.of(
        rows, listing.card.name, source_digest(hidden), measured.overall, measured.why, made_by()
    )
    groups.write(settings.output)
    console.print(f"{settings.output}: {len(rows):,} images in {len(set(names)):,} groups, digest {groups.digest}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
