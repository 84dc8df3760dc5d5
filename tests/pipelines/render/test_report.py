"""The console output of the dataset jobs: external names are never interpreted as markup."""

import ast
from pathlib import Path

import pytest
from rich.table import Table

from pipelines.console import make_console
from pipelines.render import report
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import Cell, Manifest, Part, Split, VariantStatistics

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


def manifest_of(counts: dict[Split, int]) -> Manifest:
    statistics = VariantStatistics(
        channel_mean=(0.5,) * 3, channel_std=(0.1,) * 3, snr_db=-12.3, psnr_db=-11.3, snr_db_mean=None,
        snr_db_min=None, snr_db_max=None, snr_db_infinite=0,
    )  # fmt: skip
    return Manifest.model_construct(
        counts=counts,
        statistics=dict.fromkeys(counts, statistics),
        parts=[Part(path="split=test/part-00000.parquet", split="test", rows=1, bytes=10**9)],
    )


@pytest.mark.parametrize("width", [60, 80])
def test_names_and_units_of_datasets_are_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    manifest = manifest_of({"train": 31_380, "validation": 7_829, "test": 12_630})
    monkeypatch.setattr(Manifest, "read", lambda _: manifest)
    names = ("clean", "salt_pepper-max_probability", "black_columns-max", "periodic-max_255grey_2pipx")
    report.print_datasets(
        make_console(), Path("data/datasets/gtsrb"), [Cell("crop_or_pad", 40, name) for name in names]
    )
    lines = capsys.readouterr().out.splitlines()
    assert all(any(f" {name} " in line for line in lines) for name in names)
    if width == 80:
        assert max(map(len, lines)) <= 80
        assert {"px", "dB", "MB", "validation"} <= set(" ".join(lines).split())
        assert any(
            line.split() == ["40", names[1], "31,380", "7,829", "12,630", "1,000", "-12.3", "-11.3"] for line in lines
        )
