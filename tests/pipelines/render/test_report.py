"""The console output of the dataset jobs: external names are never interpreted as markup."""

import ast
from pathlib import Path

import pytest
from rich.table import Table

from pipelines.console import make_console
from pipelines.render import report
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import Cell

REPOSITORY = Path(__file__).parents[3]
NAMES = ("run #2", "[old]", "[/red]", "[bold]x[/bold]", ":car:", "x" * 200)


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_console_output_are_not_broken(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"output_root={tmp_path / name}", f"dataset.root={tmp_path / name}", "dataset.kind=synthetic_signs"]
    settings = load(NoisyDatasets, REPOSITORY / "conf" / "make_noisy_datasets.yaml", given)
    console = make_console()
    report.announce(console, settings)
    report.print_plan(console, settings)
    report.warn_of_small_disk(console, tmp_path, [Cell("resize", 512, "clean")], {"train": 10**12}, 3)
    report.print_datasets(console, settings.dataset_folder, settings.cells)
    said = capsys.readouterr().out
    assert f"{tmp_path / name} would be drawn" in said
    assert f"→ {tmp_path / name}/synthetic_signs\n" in said
    assert f"{tmp_path / name}/synthetic_signs/geometry=crop_or_pad/size_px=28/variant=gaussian-min\n" in said
    assert "SYNTHETIC road signs" in said and "free on the disk" in said
    gtsrb = settings.model_copy(update={"dataset": load(NoisyDatasets, REPOSITORY / "conf" / "make_noisy_datasets.yaml",
        ["dataset.kind=gtsrb", f"dataset.root={tmp_path / name}"]).dataset})  # fmt: skip
    report.announce(console, gtsrb)
    assert f"dataset: gtsrb, {tmp_path / name}\n" in capsys.readouterr().out


def test_names_in_tables_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[/red]", ":car:", title="[old]", caption="[bold]")
    table.add_row("[x]", "[/y]")
    make_console().print(table)
    said = capsys.readouterr().out
    assert all(name in said for name in ("[/red]", ":car:", "[old]", "[bold]", "[x]", "[/y]"))


def test_consoles_are_made_in_one_place_without_markup() -> None:
    """Includes the places where rich interprets markup regardless of the console's setting."""
    makers = []
    for path in [
        path for package in ("pipelines", "training", "jobs") for path in (REPOSITORY / package).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name == "Console":
                makers.append(path.relative_to(REPOSITORY).as_posix())
            if name in ("Console", "TextColumn"):
                assert keywords.get("markup") == "False", path
            if name == "status" and "console" in ast.unparse(node.func):
                assert ast.unparse(node.args[0]).startswith("Text("), path
            assert name != "from_markup", path
    assert makers == ["pipelines/console.py"]
