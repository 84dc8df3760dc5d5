"""The last links: the registered versions of a model, and the decisions that put them in service or refused them."""

import json
from collections.abc import Iterator
from pathlib import Path

from training.lineage.links import Link
from training.retraining.decision import sha256
from training.retraining.record import DECISION
from training.retraining.tracking_decisions import EXPERIMENT, SHA256
from training.tracking import History, Registered, find_file

__all__ = ["promotion_links"]


def promotion_links(history: History, run_id: str, digest: str, folder: Path) -> Iterator[Link]:
    """Of the model with the weights `digest` that the run trained; files are downloaded to `folder`. Raises
    TrackingError and UnreachableError."""
    versions = history.versions(run_id)
    if not versions:
        yield Link("version", f"no registered model has a version of run {run_id}", "missing")
    for registered in versions:
        yield Link("version", _said(registered, run_id))
        yield _decision(history, registered, digest, folder)


def _said(registered: Registered, run_id: str) -> str:
    version = registered.version
    facts = [f"@{alias}" for alias in registered.aliases]
    facts += [f"one of {len(version.seed_runs)} seeds, of which run {version.run_id} serves"] * (
        version.run_id != run_id
    )
    facts += ["rolled back"] * version.rolled_back
    facts += [f"batch {version.batch_id}"] if version.batch_id else []
    facts += [f"clean accuracy {version.clean_accuracy}"] if version.clean_accuracy else []
    return ", ".join([registered.reference, *facts])


def _decision(history: History, registered: Registered, digest: str, folder: Path) -> Link:
    reference, wanted = registered.reference, registered.version.decision_sha256
    if not wanted:
        return Link(
            "decision", f"{reference}: no decision is recorded; it was not registered by a retraining", "missing"
        )
    run_id = history.tagged(EXPERIMENT, SHA256, wanted)
    path = find_file(run_id, DECISION, folder) if run_id else None
    if path is None:
        where = f"run {run_id} has no {DECISION}" if run_id else f"no run of experiment {EXPERIMENT} has it"
        return Link("decision", f"{reference}: SHA-256 {wanted}; {where}", "missing")
    written = path.read_bytes()
    if sha256(written) != wanted:
        return Link("decision", f"{reference}: {DECISION} of run {run_id} has another SHA-256 than {wanted}", "broken")
    document = json.loads(written)
    networks, champion = document["challenger"]["networks"], document["champion"]
    if digest not in networks:
        return Link("decision", f"{reference}: {DECISION} of run {run_id} is on other networks than {digest}", "broken")
    against = (
        f"version {champion['version']}, networks {', '.join(champion['networks'])}" if champion else "no champion"
    )
    return Link("decision", f"{reference}: {document['verdict']} against {against}; SHA-256 {wanted}, run {run_id}")
