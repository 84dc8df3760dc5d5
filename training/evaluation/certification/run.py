"""A certification from its settings to the files; it goes on where a killed one was."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console

from pipelines.console import followed
from pipelines.settings import decisive_values, to_yaml
from pipelines.store import recovered_groups
from pipelines.store.remote_copy import RemoteCopy, here, shown
from pipelines.store.schema import CLEAN
from training.attacks import AttackError, LabelledImages
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.trained import Classifier
from training.evaluation.certification.figures import accuracy_over_decibels
from training.evaluation.certification.images import (
    Certifier,
    LipschitzCertifier,
    Outcome,
    SmoothingCertifier,
    outcomes,
)
from training.evaluation.certification.settings import CertifyClassifier, Method
from training.evaluation.certification.smoothing import Smoothed
from training.evaluation.certification.table import IMAGES, Tally, cells, image_rows, read_rows
from training.evaluation.certification.trained_noise import noise_note
from training.evaluation.classifiers import figures
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.flips import images_by_id
from training.evaluation.classifiers.predicting import EvaluationError, Predictions, predict
from training.evaluation.classifiers.sampling import random_sample
from training.evaluation.classifiers.table import write_table
from training.evaluation.robustness.evaluation import folder_name, write_flags
from training.evaluation.robustness.groups import grouped
from training.streams.stream import to_unit_floats
from training.tracking.locks import FolderError, lock_folder

__all__ = ["CertifiedModel", "Plan", "certify", "prepare"]

BLOCK = 20
"""Images that are written at once."""
AGAIN = "delete it, and its images are certified again"
WITHOUT_EFFECT = {"model", "device", "output_root", "groups", "groups_file"}


class CertifiedModel(NamedTuple):
    """`run` is the id of its tracked run, or None."""

    name: str
    classifier: AnyClassifier
    run: str | None


class Plan(NamedTuple):
    """A prepared certification: `chosen` are the images, with the predictions of the network itself; `notes` are
    sentences for the user. `folder` is the same for the same network, images and settings."""

    settings: CertifyClassifier
    model: CertifiedModel
    certifier: Certifier
    method: Method
    chosen: Predictions
    folder: Path
    notes: Sequence[str]


def prepare(settings: CertifyClassifier, model: CertifiedModel, device: torch.device) -> Plan:
    """Raises StreamError, EvaluationError, AttackError, and StoreError for recovered groups."""
    classifier = model.classifier
    if classifier.no_gradients and settings.attack.needs_gradients:
        raise AttackError(
            f"{model.name} {classifier.no_gradients}, which attack={settings.attack.kind} needs; use attack=square "
            "attack.norm=l2"
        )
    data = settings.data_at(classifier.shape.size_px)
    recovered = recovered_groups.read(settings.groups_file) if settings.groups == "recovered" else None
    classifier.network.to(memory_format=torch.channels_last)
    found = predict({model.name: classifier}, data, settings.split, [CLEAN], device)
    clean = grouped(found, {model.name: classifier}, data, recovered, device, 512)[model.name, CLEAN]
    chosen = clean.at(random_sample(clean.image_ids, settings.data.images))
    certifier, method = _certifier(settings, model)
    notes = [noise_note(model.name, classifier, settings.sigma_grey, data)] if method == "smoothing" else []
    if settings.split in classifier.trained_on:
        notes.append(f"{model.name}: was trained on the {settings.split} images")
    if (wanted := settings.data.images) and wanted > len(chosen.labels):
        notes.append(f"data.images={wanted}: {settings.split} has {len(chosen.labels)} images; all are certified")
    key = _key(settings, classifier.digest, chosen.dataset_digest, method, recovered and recovered.digest)
    folder = here(settings.output_root) / f"{folder_name(model.name)[:80]}-{settings.split}-{key[:12]}"
    return Plan(settings, model, certifier, method, chosen, folder, [note for note in notes if note])


def _key(settings: CertifyClassifier, *facts: str | None) -> str:
    """A digest of all that the result depends on."""
    values = decisive_values(settings, WITHOUT_EFFECT)
    for name in ("root", "verify"):
        del values["data"][name]
    return hashlib.sha256(json.dumps([values, *facts], sort_keys=True).encode()).hexdigest()


def certify(plan: Plan, device: torch.device, console: Console) -> tuple[pa.Table, Tally]:
    """Writes images.parquet and .csv (a row for each image), certification.parquet and .csv (a row for each quantity
    and ratio), certification.yaml, accuracy_over_decibels.png, and flags.txt if anything is suspicious. Raises
    EvaluationError, StreamError and AttackError."""
    with _locked(plan.folder):
        found = _outcomes(plan, device, console)
        tally = Tally(found, plan.chosen.units)
        table = cells(_subject(plan), list(tally.measure(plan.settings.snr_db)))
        write_table(image_rows(found), plan.folder, "images")
        write_table(table, plan.folder, "certification")
        with replacing(plan.folder / "certification.yaml") as partial:
            partial.write_text(to_yaml(plan.settings))
        figure = accuracy_over_decibels(table, tally, f"{plan.model.name}\n{_how(plan)}")
        figures.save(figure, plan.folder / "accuracy_over_decibels.png")
        flags = list(_flags(plan, tally))
        write_flags(flags, plan.folder / "flags.txt")
    for flag in flags:
        console.print(f"note: {flag}")
    return table, tally


def _outcomes(plan: Plan, device: torch.device, console: Console) -> list[Outcome]:
    """In order of the images' ids; blocks that an earlier process has written are read."""
    if copy := RemoteCopy.of(plan.folder):
        copy.fetch()
    ids = plan.chosen.image_ids.tolist()
    starts = range(0, len(ids), BLOCK)
    paths = {start: plan.folder / "blocks" / f"{start:06d}.parquet" for start in starts}
    there = {start for start, path in paths.items() if path.exists()}
    missing = [start for start in starts if start not in there]
    if there:
        done = sum(len(ids[start : start + BLOCK]) for start in there)
        console.print(
            f"{done:,} of {len(ids):,} images were certified before, in {shown(plan.folder)}; going on from there"
        )
    data = plan.settings.data_at(plan.model.classifier.shape.size_px).model_copy(update={"verify": False})
    wanted = [name for start in missing for name in ids[start : start + BLOCK]]
    stored = images_by_id(data, plan.settings.split, CLEAN, wanted)
    for start in followed(missing, f"blocks of {BLOCK} images", console):
        rows = slice(start, start + BLOCK)
        images = torch.from_numpy(np.stack([stored[name] for name in ids[rows]])).permute(0, 3, 1, 2)
        labels = torch.from_numpy(plan.chosen.labels[rows]).to(device)
        examples = LabelledImages(to_unit_floats(images, device).contiguous(), labels, ids[rows], plan.settings.seed)
        found = outcomes(plan.certifier, plan.settings, examples, plan.chosen.predicted[rows])
        with replacing(paths[start]) as partial:
            pq.write_table(image_rows(found), partial)
        if copy:
            copy.send_later()
    return [one for start in starts for one in _read(paths[start], ids[start : start + BLOCK])]


def _read(path: Path, ids: Sequence[str]) -> list[Outcome]:
    try:
        found = read_rows(pq.read_table(path, schema=IMAGES))
    except (OSError, pa.ArrowException) as error:
        raise EvaluationError(
            f"{path}: cannot be read ({error}); delete it, and its images are certified again"
        ) from None
    if [one.image_id for one in found] != list(ids):
        raise EvaluationError(f"{path}: has other images than it should; {AGAIN}")
    return found


def _certifier(settings: CertifyClassifier, model: CertifiedModel) -> tuple[Certifier, Method]:
    network, classifier = model.classifier.network, model.classifier
    constant = classifier.model.lipschitz_constant(classifier.network) if isinstance(classifier, Classifier) else None
    if settings.method == "lipschitz" and constant is None:
        raise EvaluationError(
            f"method=lipschitz: no Lipschitz constant of {model.name} is known; use method=smoothing, or train a "
            "network that has one (model=aol_cnn)"
        )
    if settings.method != "smoothing" and constant is not None:
        return LipschitzCertifier(network, constant), "lipschitz"
    smoothed = Smoothed(network, settings.std, classifier.shape.num_classes, settings.seed, settings.batch_size)
    return SmoothingCertifier(settings, smoothed), "smoothing"


def _subject(plan: Plan) -> dict[str, Any]:
    return {
        "model": plan.model.name, "run": plan.model.run, "dataset_digest": plan.chosen.dataset_digest,
        "size_px": plan.model.classifier.shape.size_px, "split": plan.settings.split, "method": plan.method,
    }  # fmt: skip


def _how(plan: Plan) -> str:
    if isinstance(plan.certifier, LipschitzCertifier):
        return f"Lipschitz constant {plan.certifier.lipschitz:.4g}"
    given = plan.settings
    return f"smoothing, σ = {given.sigma_grey:g} grey levels, n = {given.samples:,}, α = {given.alpha:g}"


def _flags(plan: Plan, tally: Tally) -> Iterator[str]:
    if black := sum(one.norm_l2 == 0 for one in tally.outcomes):
        yield f"{black} images are black: a ratio allows no perturbation of them, so their balls have radius 0"
    for snr_db in plan.settings.snr_db:
        if ids := tally.violations(snr_db):
            yield (
                f"{len(ids)} images are certified at {snr_db:g} dB and were broken nevertheless, e.g. {ids[0]}; of all "
                f"images a share of {plan.settings.alpha:g} may be"
            )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with lock_folder(folder):
            yield
    except FolderError as error:
        why = "another process certifies the same; wait for it, or stop it" if error.busy else error.reason
        raise EvaluationError(f"{folder}: {why}") from None
