"""Explain where a model is from and what it became.

    python jobs/explain_model.py model=<reference> [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/explain_model.yaml. It only reads.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from training.lineage.chain import ExplainModel, chain_of
from training.lineage.links import check_chain

CONFIG = Path(__file__).parents[1] / "conf" / "explain_model.yaml"
STYLES = {"known": "", "missing": "yellow", "broken": "red"}
WIDTH = 9


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(ExplainModel, CONFIG, __doc__ or "", arguments)
    console = make_console()
    if dry_run:
        console.print(to_yaml(settings))
        return
    links = chain_of(settings)
    for link in links:
        said = link.text if link.state == "known" else f"{link.state.upper()}: {link.text}"
        console.print(Text(f"{link.place:{WIDTH}}{said}", STYLES[link.state]), soft_wrap=True)
    console.print(check_chain(links))


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
