"""The page that compares runs: its figures, and what a browser does with it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scipy import stats

from training.tracking import TrackingError, compare, write_comparison
from training.tracking.comparing import ComparedRun

CHROMIUM = Path("/usr/bin/chromium")


def run(name: str, accuracy: float, **params: str) -> ComparedRun:
    return ComparedRun(name, name, {"epochs": "12", **params}, {"accuracy/validation": accuracy})


RUNS = [
    run("small-0", 0.90, seed="0", lr="0.001"), run("small-1", 0.92, seed="1", lr="0.001"),
    run("small-2", 0.97, seed="2", lr="0.001"), run("<b>large</b>", 0.5, seed="0", lr="0.01"),
]  # fmt: skip


def test_seeds_are_averaged_with_the_interval_of_scipy() -> None:
    many, one = compare(RUNS, "accuracy/validation")["groups"]  # type: ignore[misc]
    values = [0.90, 0.92, 0.97]
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert many["metrics"]["accuracy/validation"] == pytest.approx([0.93, 0.0360555, low, high, 3])
    assert one["metrics"]["accuracy/validation"] == [0.5]


def test_a_repeated_seed_is_not_a_further_seed() -> None:
    twice = compare([RUNS[0], RUNS[0]._replace(metrics={"accuracy/validation": 0.8})], "accuracy/validation")
    (group,) = twice["groups"]  # type: ignore[misc]
    assert group["metrics"]["accuracy/validation"] == [pytest.approx(0.85)]


def test_only_settings_that_differ_are_columns() -> None:
    assert compare(RUNS, "accuracy/validation")["params"] == ["lr", "seed"]


def test_an_unknown_metric_is_answered_with_those_there_are() -> None:
    with pytest.raises(TrackingError, match="metric=loss: no run has it; there are accuracy/validation"):
        compare(RUNS, "loss")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make environment")
    if not CHROMIUM.is_file():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_sorts_filters_and_groups(browser, tmp_path: Path, scheme: str) -> None:  # type: ignore[no-untyped-def]
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: make environment").Axe
    write_comparison(tmp_path / "runs.html", "Runs", compare(RUNS, "accuracy/validation"))
    page = browser.new_context(color_scheme=scheme, offline=True).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "runs.html").as_uri())
    names = page.locator("tbody th")
    assert names.all_text_contents() == ["small-2", "small-1", "small-0", "<b>large</b>"]
    page.get_by_role("button", name="lr", exact=True).press("Enter")
    assert names.last.text_content() == "<b>large</b>"
    page.get_by_role("button", name=re.compile("^lr")).press("Enter")
    assert names.first.text_content() == "<b>large</b>"
    page.get_by_label("Filter").fill("SMALL-1")
    assert names.all_text_contents() == ["small-1"]
    page.get_by_label("Filter").fill("")
    page.get_by_label("One row").check()
    assert page.locator("tbody tr").all_text_contents() == [
        "small-0n = 30.930.036060.8404 to 1.020.001", "<b>large</b>single0.5––0.01"
    ]  # fmt: skip
    found = axe().run(page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
    assert said == []


def test_a_browser_pivots_by_two_settings(browser, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    wide = run("wide", 0.8, seed="0", lr="0.001", width="64")
    long = wide._replace(params={**wide.params, "epochs": "24"}, metrics={"accuracy/validation": 0.9})
    write_comparison(tmp_path / "runs.html", "Runs", compare([*RUNS, wide, long], "accuracy/validation"))
    page = browser.new_page()
    page.goto((tmp_path / "runs.html").as_uri())
    page.get_by_label("Pivot: rows").select_option("lr")
    rows = [[*row.locator("th, td").all_text_contents()] for row in page.locator("tbody tr").all()]
    assert rows == [["0.001", "0.8 to 0.93 (3 recipes)"], ["0.01", "0.5 (single)"]]
    page.get_by_label(re.compile("^columns")).select_option("width")
    assert page.locator("thead th").all_text_contents() == ["lr", "width = not set", "width = 64"]
    rows = [[*row.locator("th, td").all_text_contents()] for row in page.locator("tbody tr").all()]
    assert rows == [["0.001", "0.93 ± 0.03606 (n = 3)", "0.8 to 0.9 (2 recipes)"], ["0.01", "0.5 (single)", "–"]]
    page.get_by_label("Pivot: rows").select_option("")
    page.get_by_label(re.compile("^columns")).select_option("")
    assert page.locator("tbody tr").count() == 6
