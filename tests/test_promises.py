"""Every promise in docs/security.md and docs/operations.md names existing tests."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<promise>[^|]+) \| (?P<rest>[^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`( \\\*)?")


def sections(page: str) -> tuple[str, str]:
    """The text of a page and its table of tests."""
    text, _, table = (REPOSITORY / "docs" / page).read_text().partition("\n## The tests\n")
    return text, table


def is_slow(function: ast.FunctionDef, module: ast.Module) -> bool:
    marked = " ".join(map(ast.unparse, [*function.decorator_list, *module_marks(module)]))
    return "pytest.mark.slow" in marked


def module_marks(module: ast.Module) -> list[ast.stmt]:
    return [node for node in module.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]


@pytest.fixture(scope="module")
def there() -> dict[tuple[str, str], list[bool]]:
    """All tests by file name and test name, and whether each is slow."""
    found: dict[tuple[str, str], list[bool]] = {}
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        module = ast.parse(path.read_text())
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault((path.name, node.name), []).append(is_slow(node, module))
    return found


@pytest.mark.parametrize("page", ["security.md", "operations.md"])
def test_every_promise_names_existing_tests(page: str, there: dict[tuple[str, str], list[bool]]) -> None:
    rows = [row for row in ROW.finditer(sections(page)[1]) if row["promise"] != "promise"]
    assert len(rows) > 20
    for row in rows:
        named = TEST.findall(row["rest"])
        assert named, f"{page}: {row['promise']}: no test"
        assert TEST.sub("", row["rest"]).strip(", ") == "", f"{page}: {row['promise']}: not all of it are tests"
        for file, name, slow in named:
            assert (file, name) in there, f"{page}: {row['promise']}: there is no {file}::{name}"
            assert bool(slow) in there[file, name], f"{page}: {row['promise']}: the mark of {name} is wrong"


def test_every_untrusted_input_has_a_promise() -> None:
    text, table = sections("security.md")
    comes_in = {row["what"] for row in re.finditer(r"^\| (?P<what>[^|]+) \| (no|only|yes)\b", text, re.MULTILINE)}
    kept = {row["what"] for row in ROW.finditer(table)}
    assert len(comes_in) >= 10
    assert comes_in - kept == {"the dataset folders"}


def test_all_exit_codes_have_a_promise() -> None:
    text, table = sections("operations.md")
    codes = set(re.findall(r"^\| (\d+)(?:, (\d+))? \| ", text, re.MULTILINE)) - {("0", "")}
    promised = " ".join(row["promise"] for row in ROW.finditer(table) if row["what"] == "exit codes")
    assert ("75", "") in codes
    for code in {code for pair in codes for code in pair if code}:
        assert re.search(rf"\b{code}\b", promised), code
