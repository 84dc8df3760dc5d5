"""A robustness report from its settings to its files."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from pipelines.datasets.card import DatasetCard
from pipelines.settings import to_yaml
from pipelines.store.remote_copy import here
from training.evaluation.classifiers.files import replacing
from training.evaluation.report.abstention import abstention_section
from training.evaluation.report.answer import answer_section, first_to_break
from training.evaluation.report.attacks import attack_section
from training.evaluation.report.certified import certified_section
from training.evaluation.report.changes import change_sections, compared
from training.evaluation.report.contract import Gate, Section
from training.evaluation.report.curves import find_failures, threshold_section
from training.evaluation.report.data_card import data_section
from training.evaluation.report.gates import find_gates, gate_section, leaks_of
from training.evaluation.report.generated import generated_section
from training.evaluation.report.hazards import hazard_section
from training.evaluation.report.looks import look_section
from training.evaluation.report.matrix import matrix_section
from training.evaluation.report.model_card import write_model_cards
from training.evaluation.report.page import write_files, write_page
from training.evaluation.report.settings import RobustnessReport
from training.evaluation.report.signs import find_class_failures, sign_section
from training.evaluation.report.standards import standards_section
from training.evaluation.report.style import figure_style
from training.evaluation.report.subjects import Subject, find_subjects
from training.evaluation.robustness.evaluation import EvaluatedModel, Result, evaluate, folder_name
from training.streams.stream import Data

__all__ = ["Report", "make_report", "write_report"]

PAGE = "report.html"


class Report(NamedTuple):
    """`answer` are the sentences of the first screen; `card` is that of the evaluated images, and `leaks` are sentences
    on those that were trained on."""

    subjects: Sequence[Subject]
    models: Mapping[str, EvaluatedModel]
    sections: Sequence[Section]
    gates: Sequence[Gate]
    answer: Sequence[str]
    result: Result
    card: DatasetCard
    leaks: Sequence[str]


def make_report(
    settings: RobustnessReport, models: Mapping[str, EvaluatedModel], device: torch.device, console: Console
) -> Report:
    """Raises StreamError and EvaluationError."""
    result = evaluate(settings, models, device, console)
    subjects = find_subjects(result, models, settings.names)
    failures = find_failures(subjects, settings.failure)
    comparisons = compared(result.predictions, subjects)
    classifiers = {name: model.classifier for name, model in models.items()}
    data = _data_of(settings, subjects[0], models)
    card, leaks = leaks_of(data, settings.split, next(iter(subjects[0].found.values()))[0].variant)
    gates = find_gates(subjects, classifiers, result.flags, leaks)
    with figure_style():
        answer = answer_section(subjects, failures, comparisons, settings.failure)
        sections = [answer, matrix_section(subjects), threshold_section(failures, subjects, settings.failure)]
        sections += change_sections(comparisons)
        broken = first_to_break([one for one in failures if one.subject.letter == subjects[0].letter])
        if broken:
            classes = find_class_failures(failures, settings.failure)
            sections.append(sign_section(classes, broken[0], settings.failure, data, settings.split, settings.examples))
        if settings.saliency.images:
            shown = {name: settings.data_at(model.classifier.shape.size_px) for name, model in models.items()}
            sections.append(look_section(subjects, failures, models, settings.saliency, shown, settings.split))
        if settings.generated and (made := generated_section(subjects, models, data, settings.generated, device)):
            sections.append(made)
        sections.append(abstention_section(subjects))
        if attacks := attack_section(subjects, result.curves, result.flags):
            sections.append(attacks)
        if settings.certificates:
            sections.append(certified_section(settings.certificates, subjects, models, settings.split))
        if settings.hazards:
            sections.append(hazard_section(subjects, settings.hazards))
        sections += [gate_section(gates), data_section(data, settings.split, subjects[0])]
        sections.append(standards_section(sections))
    said = [item for block in answer.blocks for item in getattr(block, "items", ())]
    return Report(subjects, models, sections, gates, said, result, card, leaks)


def write_report(settings: RobustnessReport, report: Report, version: str) -> Path:
    """The page, in a folder under settings.output_root whose name has the recipes and the digest of what was evaluated:
    report.html, report.yaml (the settings), figures/, tables/, and cards/ with a model card of each network. Raises
    EvaluationError."""
    names = "+".join(folder_name(subject.name) for subject in report.subjects)
    folder = here(settings.output_root) / f"{names[:60]}-{settings.split}-{report.result.key[:12]}"
    with figure_style():
        write_files(folder, report.sections)
        with replacing(folder / "report.yaml") as partial:
            partial.write_text(to_yaml(settings))
        title = "Robustness of " + ", ".join(subject.label for subject in report.subjects)
        write_model_cards(
            folder / "cards", report.subjects, report.models, report.card, settings.split, report.leaks,
            settings.licence,
        )  # fmt: skip
        write_page(folder / PAGE, title, report.sections, _facts(settings, report, version))
    return folder / PAGE


def _data_of(settings: RobustnessReport, subject: Subject, models: Mapping[str, EvaluatedModel]) -> Data:
    return settings.data_at(models[subject.models[0]].classifier.shape.size_px)


def _facts(settings: RobustnessReport, report: Report, version: str) -> list[str]:
    digests = {
        found[0].variant: found[0].dataset_digest[:12] for one in report.subjects for found in one.found.values()
    }
    named = ", ".join(f"{variant} {digest}" for variant, digest in list(digests.items())[:4])
    more = f" and {len(digests) - 4} more, in tables/accuracy.csv" if len(digests) > 4 else ""
    return [
        *(f"{one.label}: {', '.join(one.models)}" for one in report.subjects),
        f"Data: {settings.data.root}, {settings.data.geometry}, split {settings.split}; content digests: "
        f"{named}{more}.",
        f"Made on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by roadsign-robustness {version}, evaluation "
        f"{report.result.key[:12]}.",
    ]
