"""Seconds until a browser shows and sorts the comparison of many runs: python benchmarks/compare_runs.py [RUNS]

Needs /usr/bin/chromium and playwright.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from training.tracking import compare, write_comparison
from training.tracking.comparing import ComparedRun

METRICS, DIFFERING = 30, 10


def runs(count: int) -> list[ComparedRun]:
    draws = random.Random(0)
    return [
        ComparedRun(
            f"{number:032x}", f"run-{number}",
            {"seed": str(number % 5), **{f"setting_{key}": str((number // 5) % (key + 2)) for key in range(DIFFERING)}},
            {f"accuracy/{key}": draws.random() for key in range(METRICS)},
        )
        for number in range(count)
    ]  # fmt: skip


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "runs.html")
        write_comparison(path, "Runs", compare(runs(count), "accuracy/0"))
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(path.as_uri())
        assert page.locator("tbody tr").count() == count
        print(f"{count} runs, {path.stat().st_size / 1e6:.1f} MB: shown after {time.perf_counter() - began:.2f} s")
        sort = "const start = performance.now(); document.querySelectorAll('th button')[5].click(); "
        took = page.evaluate("() => {" + sort + "document.body.offsetHeight; return performance.now() - start }")
        print(f"sorted and laid out in {took / 1000:.2f} s")
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
