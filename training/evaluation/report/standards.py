"""An appendix that maps the figures and tables of a report to clauses of standards that they are evidence for.

A draft is cited by its headings, since its numbers may change. docs/standards.md says more of each clause."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table

__all__ = ["CLAUSES", "Clause", "standards_section"]

DRAFT = "ISO/IEC DIS 24029-3"
DATA = "ISO/PAS 8800, clause 11"
SOTIF = "ISO 21448"
LAW = "AI Act, Article 15"
SAID = (
    "The figures and tables of this page are evidence for the clauses beside them, as far as these images, noises and "
    "networks go. Whether a requirement is met is for those to decide who answer for the whole system."
)


class Clause(NamedTuple):
    """`blocks` are patterns of the names of figures and tables, none if no report has any of it; `evidence` says what
    they show of it, in a few words."""

    standard: str
    place: str
    blocks: Sequence[str]
    evidence: str

    @property
    def text(self) -> str:
        return f"{self.standard}{self.place}" if self.place.startswith("(") else f"{self.standard}: {self.place}"


CLAUSES = (
    Clause(DRAFT, "in-domain assessment", ["accuracy", "abstention", "objects_by_class"],
           "accuracy and calibration on clean images, and of how many objects"),
    Clause(DRAFT, "specification of expected behaviour", ["thresholds", "class_thresholds"],
           "the accuracy below which a network counts as failed"),
    Clause(DRAFT, "statistical measures of robust behaviour",
           ["accuracy", "rank_correlation", "abstention", "risk_coverage", "class_thresholds", "costs"],
           "measures under each noise, with intervals over objects"),
    Clause(DRAFT, "assessment based on performance drops",
           ["accuracy", "relative_errors", "thresholds", "change_*", "confusion_change_*"],
           "what each level of a noise costs, and where the drop is too large"),
    Clause(DRAFT, "targeted response to a perturbation", ["accuracy_over_snr_db", "thresholds"],
           "the response to a perturbation of known kind and strength"),
    Clause(DRAFT, "statistical reliability engineering", ["thresholds", "class_thresholds", "change_*", "gates"],
           "thresholds and differences with intervals over objects and seeds"),
    Clause(DRAFT, "selection of data sets representative of a robustness dimension",
           ["objects_by_class", "objects_by_condition"], "how many objects there are of each class and condition"),
    Clause(DATA, "independence of training, validation and test data", ["duplicates", "gates", "objects_by_class"],
           "objects that are in one split alone, and images found in several"),
    Clause(DATA, "traceability to the source", ["digests"], "digests from the raw images to what was shown"),
    Clause(DATA, "completeness", ["objects_by_class", "objects_by_condition", "generated_*"],
           "classes and conditions of which there are few objects or none, and what was generated beside them"),
    Clause(SOTIF, "triggering conditions",
           ["accuracy_over_snr_db", "thresholds", "class_thresholds", "first_signs", "objects_by_condition"],
           "conditions, with their strengths, under which a network fails, and on which classes first"),
    Clause(SOTIF, "insufficiencies",
           ["costs", "costliest_*", "confusion_change_*", "first_signs", "saliency_*", "risk_coverage"],
           "what is taken for what, what that costs, what it depends on, and whether the network is sure of it"),
    Clause(SOTIF, "acceptance criterion and validation target", ["thresholds", "costs", "abstention"],
           "quantities that a criterion can be set on, with their intervals"),
    Clause(LAW, "(1)", ["accuracy", "objects_by_class"], "the level of accuracy, and what it was measured on"),
    Clause(LAW, "(3)", ["accuracy", "digests"], "levels and metrics of accuracy as they can be declared"),
    Clause(LAW, "(4)",
           ["accuracy", "relative_errors", "accuracy_over_snr_db", "thresholds", "change_*", "risk_coverage", "gates"],
           "resilience to errors of the input: noise up to which it holds"),
    Clause(DRAFT, "adversarial robustness", ["attacks", "accuracy_under_attack", "certified", "certified_accuracy"],
           "accuracy under attacks of given strength, and what is proven of all attacks"),
    Clause(LAW, "(5)", ["attacks", "certified"],
           "accuracy under attacks of given strength, and what is proven of all attacks"),
    Clause(DRAFT, "separability metrics", [], ""),
    Clause(DRAFT, "curvature", [], ""),
)  # fmt: skip
"""In the order of the appendix."""


def standards_section(sections: Sequence[Section]) -> Section:
    """`sections` are all others of the report; clauses of which it shows nothing are named as such."""
    shown = list(dict.fromkeys(block.name for block in _blocks(sections)))
    rows, data, nothing = [], [], []
    for clause in CLAUSES:
        names = [name for name in shown if any(fnmatchcase(name, pattern) for pattern in clause.blocks)]
        if not names:
            nothing.append(clause.text)
            continue
        rows.append([Cell(clause.text), Cell(clause.evidence), Cell(", ".join(names))])
        data += [{"clause": clause.text, "evidence": clause.evidence, "shown_by": name} for name in names]
    blocks: list[Block] = [Prose([SAID])]
    if rows:
        header = ["clause", "evidence for it", "figures and tables, by their files"]
        texts = {"clause", "evidence", "shown_by"}
        blocks.append(Grid("clauses", "What is evidence for what", header, rows, table(data, (), texts)))
    if nothing:
        blocks.append(Prose([f"This page shows nothing of {'; '.join(nothing)}."]))
    return Section("standards", "Appendix: what is this evidence for?", blocks)


def _blocks(sections: Iterable[Section]) -> Iterable[Grid | Picture]:
    return (block for section in sections for block in section.blocks if not isinstance(block, Prose))
