"""Compares champion and challenger on the same images, by the rules of the gate, and logs the decision as a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.store.schema import ATTACKED, ATTACKED_DIGITS
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.robustness.evaluation import (
    EvaluatedData,
    EvaluatedModel,
    Evaluation,
    Result,
    evaluate,
    write_result,
)
from training.evaluation.robustness.flags import find_flags
from training.retraining.gate import Decision, cells_of
from training.retraining.record import Contender
from training.retraining.settings import Retrain
from training.tracking import Spool, Tracking, tracked_run

__all__ = ["EXPERIMENT", "compare", "track_decision"]

CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "retraining"
NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as the description of a run."""


def compare(
    settings: Retrain, root: Path, variants: Sequence[str], attacks: Sequence[str], champion: Contender | None,
    challenger: Contender, folder: Path, console: Console,
) -> Decision:  # fmt: skip
    """Compares them on `variants`, and each on the adversarial images of `attacks` that were made against it. If there
    is no champion yet, the challenger is promoted unless a flag is raised. The files of the evaluation go to `folder`.
    Raises RoadsignError."""
    contenders = {CHALLENGER: challenger} if champion is None else {CHAMPION: champion, CHALLENGER: challenger}
    digests = [one.classifier.digest[:ATTACKED_DIGITS] for one in contenders.values()]
    attacked = [f"{attack}/{ATTACKED}={digest}" for attack in attacks for digest in dict.fromkeys(digests)]
    evaluation = Evaluation(
        models=tuple(one.version.run_id for one in contenders.values()),
        data=EvaluatedData(root=str(root), geometry=settings.geometry),
        variants=(*variants, *attacked),
        split=settings.split,
        batch_size=settings.batch_size,
        device=settings.device,
        output_root=folder,
    )
    models = {name: EvaluatedModel(one.classifier, one.version.run_id) for name, one in contenders.items()}
    result = evaluate(evaluation, models, torch_device(settings.device), console)
    write_result(evaluation, models, result)
    flags, challengers = _flags_of(result, CHALLENGER), cells_of(result.predictions, CHALLENGER)
    if champion is None:
        decision = settings.gate.first(challengers, flags)
    else:
        decision = settings.gate.decide(cells_of(result.predictions, CHAMPION), challengers, flags)
    console.print(_shown(decision))
    return decision


def track_decision(
    settings: Retrain, folder: Path, command: str, facts: Mapping[str, str], decision: Decision, tables: Sequence[Path]
) -> str:
    """Logs a run of the experiment `retraining` and returns its id: the table of cells, `tables`, the evaluation in
    `folder`, the sentence. A run that was interrupted by a kill is resumed. Raises TrackingError, EvaluationError."""
    table = folder / "decision.csv"
    with replacing(table) as partial:
        pyarrow.csv.write_csv(decision.table, partial)
    with replacing(table.with_suffix(".parquet")) as partial:
        pyarrow.parquet.write_table(decision.table, partial)
    tracking = Tracking(experiment=EXPERIMENT, system_metrics_every_s=0.0, batch_id=folder.name)
    begun = Spool(folder / "tracking").about.get("run_id")
    with tracked_run(tracking, folder, folder.name, settings.model_dump(mode="json"), command, [], facts, begun) as run:
        run.set_tags({"promoted": str(decision.promoted).lower(), NOTE: decision.sentence})
        run.log_metrics({f"accuracy/{one.cell}": one.challenger for one in decision.cells})
        run.log_metrics(
            {f"difference/{one.cell}": one.difference for one in decision.cells if one.difference is not None}
        )
        for path in (table, table.with_suffix(".parquet"), *tables):
            run.log_file(path)
        for path in sorted((folder / "evaluation").glob("*/*.*")):
            run.log_file(path, "evaluation")
        return run.run_id


def _flags_of(result: Result, model: str) -> list[str]:
    """The flags of the challenger: flags of the champion do not prevent a promotion."""
    own = {place: found for place, found in result.predictions.items() if place[0] == model}
    return find_flags(own, [curve for curve in result.curves if curve.model == model])


def _shown(decision: Decision) -> Table:
    """The table of cells for a console."""
    table = Table("cell", "images", "champion", "challenger", "difference", "verdict", title="accuracy by cell")
    for one in decision.cells:
        champion = "none" if one.champion is None else f"{one.champion:.2%}"
        difference = "" if one.difference is None else f"{100 * one.difference:+.2f} points"
        row = one.cell, f"{one.images:,}", champion, f"{one.challenger:.2%}", difference, one.verdict
        table.add_row(*map(Text, row))  # names of variants are not markup
    return table
