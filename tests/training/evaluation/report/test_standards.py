"""The appendix: every figure and table of the room has its clauses, and no word promises more than evidence."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from ladder_predictions import by_model, subject

from training.evaluation.report.changes import change_sections, compared
from training.evaluation.report.contract import Cell, Grid, Prose, Section
from training.evaluation.report.matrix import matrix_section
from training.evaluation.report.standards import CLAUSES, SAID, standards_section

ROOM = Path(__file__).parents[4] / "training" / "evaluation" / "report"
FORBIDDEN = re.compile(r"\bcompl(y|ies|ied|iant|iance)\b", re.IGNORECASE)


def block_names() -> set[str]:
    """The names that the room's files give to their figures and tables, with X for what is filled in."""
    found = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Grid", "Picture"):
                first = node.args[0]
                parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts))
    return found - {"clauses"}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "standards.md").read_text()


def test_every_figure_and_table_is_evidence_for_a_clause() -> None:
    names = block_names()
    assert {"accuracy", "thresholds", "digests", "change_X_X"} <= names
    patterns = [pattern for clause in CLAUSES for pattern in clause.blocks]
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []


def test_every_pattern_names_a_figure_or_table() -> None:
    names = block_names()
    patterns = {pattern for clause in CLAUSES for pattern in clause.blocks}
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)] == []


def test_the_appendix_names_the_files_that_a_report_has_and_what_it_lacks() -> None:
    weak, strong = subject("A", 15.0, name="weak"), subject("B", 30.0, name="strong")
    shown = [matrix_section([weak, strong]), *change_sections(compared(by_model(weak, strong), [weak, strong]))]
    section = standards_section(shown)
    said, grid, nothing = section.blocks
    assert isinstance(said, Prose) and isinstance(grid, Grid) and isinstance(nothing, Prose)
    rows = {row[0].text: row[2].text for row in grid.rows}
    assert rows["ISO/IEC DIS 24029-3: assessment based on performance drops"] == (
        "accuracy, relative_errors, change_A_B, confusion_change_A_B"
    )
    assert rows["AI Act, Article 15(1)"] == "accuracy"
    assert "ISO/PAS 8800, clause 11: traceability to the source" not in rows
    assert "ISO/PAS 8800, clause 11: traceability to the source" in nothing.items[0]
    assert "AI Act, Article 15(5)" in nothing.items[0]
    assert grid.data is not None
    assert grid.data.num_rows == sum(len(names.split(", ")) for names in rows.values())


def test_a_report_without_figures_has_no_empty_table() -> None:
    section = standards_section([Section("answer", "The answer", [Prose(["nothing"])])])
    assert not [block for block in section.blocks if isinstance(block, Grid)]
    assert "curvature" in section.blocks[-1].items[0]


def test_everything_is_called_evidence_and_nothing_more(page: str) -> None:
    everything = Section("x", "x", [Grid(name, "", ["x"], [[Cell("x")]]) for name in block_names()])
    section = standards_section([everything])
    texts = [page, SAID, section.title, (ROOM / "standards.py").read_text()]
    texts += [cell.text for block in section.blocks if isinstance(block, Grid) for row in block.rows for cell in row]
    for text in texts:
        assert not FORBIDDEN.search(text)
    assert "evidence for" in SAID
    assert "evidence for" in page
    for path in ROOM.glob("*.py"):
        assert not FORBIDDEN.search(path.read_text()), path


def test_only_clauses_that_are_known_are_cited(page: str) -> None:
    cited = page + " ".join(clause.text for clause in CLAUSES)
    assert set(re.findall(r"[Cc]lause (\d[\d.]*)", cited)) == {"11"}
    assert set(re.findall(r"Article 15\((\d)\)", cited)) == {"1", "3", "4", "5"}
    assert set(re.findall(r"Article (\d+)", cited)) == {"15"}


@pytest.mark.parametrize("clause", [clause for clause in CLAUSES if clause.blocks], ids=lambda clause: clause.text)
def test_the_page_of_the_docs_says_the_same_as_the_appendix(page: str, clause: object) -> None:
    place = f"Article 15{clause.place}" if clause.place.startswith("(") else clause.place
    (row,) = [line for line in page.splitlines() if line.startswith((f"| {place} |", f"| {place}, "))]
    of_one = [re.sub(r"^(costliest|saliency)_\*$", r"\1_A", pattern) for pattern in clause.blocks]
    of_one = [pattern.replace("generated_*", "generated_images") for pattern in of_one]
    names = [pattern.replace("*", "A_B") for pattern in of_one]
    assert re.findall(r"`(\w+)`", row.split("|")[3]) == names


def test_what_the_report_has_nothing_of_is_in_the_docs_too(page: str) -> None:
    for clause in CLAUSES:
        if not clause.blocks:
            assert (clause.place if clause.place[0] != "(" else f"Article 15{clause.place}") in page
