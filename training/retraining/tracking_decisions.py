"""A decision as a run of MLflow, and as a table on the console."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
from rich.table import Table
from rich.text import Text

from training.evaluation.classifiers.files import replacing
from training.evaluation.intervals.proportions import Interval
from training.evaluation.robustness.evaluation import Result
from training.retraining.decision import Compared, Decision
from training.retraining.settings import Retrain
from training.tracking import Spool, Tracking, reopened_run, tracked_run

__all__ = ["EXPERIMENT", "accuracy_text", "log_test_report", "sentence_on_test", "shown", "track_decision"]

EXPERIMENT = "retraining"
NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as the description of a run."""
SHA256 = "decision_sha256"


def track_decision(
    settings: Retrain, folder: Path, command: str, facts: Mapping[str, str], decision: Decision, files: Sequence[Path],
    sha256: str = "",
) -> str:  # fmt: skip
    """Logs a run of the experiment `retraining` and returns its id: the table of cells, `files`, the evaluation in
    `folder`, the sentence, the `sha256` of the decision's document. A run that was interrupted by a kill is resumed.
    Raises TrackingError, EvaluationError."""
    table = folder / "decision.csv"
    with replacing(table) as partial:
        pyarrow.csv.write_csv(decision.table, partial)
    with replacing(table.with_suffix(".parquet")) as partial:
        pyarrow.parquet.write_table(decision.table, partial)
    tracking = Tracking(experiment=EXPERIMENT, system_metrics_every_s=0.0, batch_id=folder.name)
    begun = Spool(folder / "tracking").about.get("run_id")
    with tracked_run(tracking, folder, folder.name, settings.model_dump(mode="json"), command, [], facts, begun) as run:
        of_document = {SHA256: sha256} if sha256 else {}
        run.set_tags({"promoted": str(decision.promoted).lower(), NOTE: decision.sentence, **of_document})
        run.log_metrics(_metrics(decision))
        for path in (table, table.with_suffix(".parquet"), *files):
            run.log_file(path)
        for path in sorted((folder / "evaluation").glob("*/*.*")):
            run.log_file(path, "evaluation")
        return run.run_id


def log_test_report(batch: Path, run_id: str, result: Result, folder: Path) -> None:
    """Adds the accuracies on test images, and the files of their evaluation in `folder`, to a decision's run. Raises
    TrackingError."""
    with reopened_run(batch, run_id) as run:
        run.log_metrics(
            {
                f"test_accuracy/{variant}": float(found.right.mean())
                for (_, variant), found in result.predictions.items()
                if not found.transfer
            }
        )
        for path in sorted(folder.glob("*/*.*")):
            run.log_file(path, "test")


def shown(decision: Decision) -> Table:
    """The table of cells for a console of 80 columns; champion and difference (in points) only if there is a
    champion."""
    table = Table(title="accuracy by cell", box=None, padding=(0, 1, 0, 0))
    compared = any(one.champion is not None for one in decision.cells)
    for name in ("cell", "images", "groups", *(["champion"] if compared else []), "challenger", "95 %"):
        table.add_column(name, no_wrap=True)
    for name in (*(["points"] if compared else []), "verdict"):
        table.add_column(name)
    for one in decision.cells:
        low, high = 100 * one.challenger_low, 100 * one.challenger_high
        row = [one.cell, f"{one.images:,}", f"{one.groups:,}"]
        row += [_percent(one.champion)] if compared else []
        row += [_percent(one.challenger), f"{low:.2f}–{high:.2f}"]
        row += ["" if one.difference is None else f"{100 * one.difference:+.2f}"] if compared else []
        table.add_row(*map(Text, (*row, one.verdict)))  # names of variants are not markup
    return table


def accuracy_text(clean: Compared, split: str) -> str:
    """The accuracy on clean images with its interval and what it counts."""
    low, high = 100 * clean.challenger_low, 100 * clean.challenger_high
    seeds = f", {clean.challenger_seeds} seeds" if clean.challenger_seeds > 1 else ""
    return (
        f"{clean.challenger:.2%} (95 % interval {low:.2f}–{high:.2f}; {clean.images:,} {split} images, "
        f"{clean.groups:,} groups{seeds})"
    )


def sentence_on_test(found: Interval) -> str:
    """The accuracy on clean test images, and what its interval counts."""
    share = "unknown" if found.value is None else f"{found.value:.2%}"
    ends = "" if found.low is None or found.high is None else f"95 % interval {found.low:.2%} to {found.high:.2%}, "
    effect = "" if found.design_effect is None else f", design effect {found.design_effect:.1f}"
    return (
        f"On test images, which decided nothing: clean accuracy {share} ({ends}{found.images:,} images, "
        f"unit: {found.unit}{effect})."
    )


def _metrics(decision: Decision) -> dict[str, float]:
    found = {}
    for one in decision.cells:
        found[f"accuracy/{one.cell}"] = one.challenger
        found[f"accuracy_low/{one.cell}"] = one.challenger_low
        if one.difference is not None:
            found[f"difference/{one.cell}"] = one.difference
    return found


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
