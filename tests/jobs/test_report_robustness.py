"""The report job on the command line: one page, its files, and what it says on the console."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from run_here import RunHere
from small_datasets import Small

from training.classifiers.trained import Classifier, Shape
from training.models.baseline_cnn import BaselineCnn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VARIANTS = ("clean", "gaussian-min", "gaussian-avg", "gaussian-max", "blur")
SMALL = Small({"test": [[50, 40]]}, VARIANTS, size_px=8)
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects ids, links and what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.sentences: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if tag == "a" else []
        self.loaded += [values[key] or "" for key in ("src", "href") if key in values and tag not in ("a", "use")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "p":
            self.sentences.append(data)


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("cwd")
    SMALL.write(cwd / "signs")
    shape = Shape(8, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    for seed, name in enumerate(("before", "after")):
        Classifier(shape.build(BaselineCnn(), seed), BaselineCnn(), shape).write(cwd / f"{name}.pt")
    return cwd


@pytest.fixture(scope="module")
def page(cwd: Path, repository: Path) -> tuple[Path, str]:
    job = repository / "jobs" / "report_robustness.py"
    arguments = ["models=[before.pt,after.pt]", "names=[old,new]", "data.root=signs", "failure.draws=100", "device=cpu"]
    done = subprocess.run(
        [sys.executable, str(job), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (found,) = (cwd / "data" / "reports").glob("*/report.html")
    return found, done.stdout


def test_the_page_is_whole_and_needs_nothing_else(page: tuple[Path, str]) -> None:
    path, _ = page
    text = path.read_text()
    parsed = Page(text)
    assert all(source.startswith("data:image/png;base64,") for source in parsed.loaded)
    assert "<script" not in text
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "https://" not in text
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert path.stat().st_size < 5_000_000
    assert {"answer", "matrix", "thresholds", "change-A-B", "looks", "gates"} <= set(parsed.ids)
    assert "#010203" not in text, "ink that does not take the page's colour"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_offline_in_a_browser_and_can_be_read_by_everyone(page: tuple[Path, str], scheme: Any) -> None:
    """No error on the browser's console, and no serious violation that axe finds, such as weak contrast."""
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(color_scheme=scheme, offline=True).new_page()
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(page[0].as_uri())
        assert "old" in opened.inner_text("#answer")
        found = Axe().run(opened).response["violations"]
        browser.close()
    assert said == []
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_console_says_what_the_page_says_first(page: tuple[Path, str]) -> None:
    path, said = page
    sentences = Page(path.read_text()).sentences
    first = next(one for one in sentences if one.startswith("A old (single network)"))
    flat = " ".join(said.split())
    assert " ".join(first.split()) in flat
    assert "B new (single network)" in flat
    assert "check: A old: single network" in flat
    assert flat.endswith(f"report: {path.relative_to(path.parents[3]).as_posix()}")


def test_tables_and_figures_lie_beside_the_page(page: tuple[Path, str]) -> None:
    folder = page[0].parent
    table = pl.read_parquet(folder / "tables" / "accuracy.parquet")
    assert table.equals(pl.read_csv(folder / "tables" / "accuracy.csv", schema_overrides=table.schema))
    assert set(table["variant"]) == set(VARIANTS)
    assert set(table["subject"]) == {"A old", "B new"}
    for picture in (folder / "figures").glob("*.svg"):
        ElementTree.parse(picture)
        assert picture.with_suffix(".png").stat().st_size > 1000
    assert {path.stem for path in (folder / "figures").glob("*.svg")} >= {"confusion_change_A_B", "saliency_A"}


def test_the_same_models_and_images_make_the_same_page(
    page: tuple[Path, str], cwd: Path, report_robustness: ModuleType, run_here: RunHere
) -> None:
    path, _ = page
    before = path.read_text()
    arguments = ["models=[before.pt,after.pt]", "names=[old,new]", "data.root=signs", "failure.draws=100", "device=cpu"]
    done = run_here(report_robustness, cwd, *arguments)
    assert done.returncode == 0, done.stderr
    undated = [re.sub(r"Made on [^<]*", "", text) for text in (before, path.read_text())]
    assert undated[0] == undated[1]


def test_a_dry_run_makes_nothing(tmp_path: Path, cwd: Path, report_robustness: ModuleType, run_here: RunHere) -> None:
    done = run_here(
        report_robustness, tmp_path, f"models={cwd / 'before.pt'}", f"data.root={cwd / 'signs'}", "--dry-run"
    )
    assert done.returncode == 0
    assert "dry run: nothing was made" in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["failure.of_clean=1.5"], "failure.of_clean: "),
        (["names=[one,two,three]"], "names: 3 names for 1 recipes"),
        (["variants=[gaussian-max]", "split=validation"], "split validation has no images"),
    ],
)
def test_bad_settings_name_the_key(
    tmp_path: Path, cwd: Path, report_robustness: ModuleType, run_here: RunHere, arguments: list[str], said: str
) -> None:
    done = run_here(
        report_robustness, tmp_path, f"models={cwd / 'before.pt'}", f"data.root={cwd / 'signs'}", *arguments
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert not list(tmp_path.rglob("report.html"))
