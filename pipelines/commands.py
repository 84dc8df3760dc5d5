"""Where the jobs and their settings are, in a checkout and in an installed wheel, and how a job is called there."""

import ast
import re
import shutil
from pathlib import Path

from pipelines.yaml_lines import read_lines

__all__ = ["as_typed", "home", "jobs", "noise_menu", "summary"]

_ROOT = Path(__file__).parents[1]
_CALL = re.compile(r"(?:(?:uv run )?(?:python|spark-submit) )?\bjobs/(\w+)\.py")


def home() -> Path:
    """The folder of jobs/ and conf/: the checkout, or the folder roadsign/ that the wheel puts beside this package."""
    return _ROOT if _is_checkout() else _ROOT / "roadsign"


def jobs() -> dict[str, Path]:
    """The script of each command: train-classifier → jobs/train_classifier.py."""
    return {path.stem.replace("_", "-"): path for path in sorted((home() / "jobs").glob("*.py"))}


def summary(job: Path) -> str:
    """The first line of a job's docstring; the job is not imported."""
    return (ast.get_docstring(ast.parse(job.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def noise_menu(variant: str) -> str | None:
    """The file of conf/noise/ that has this variant: paper for gaussian-max. None if none has it."""
    kind, _, level = variant.partition("-")
    for menu in sorted((home() / "conf" / "noise").glob("*.yaml"), key=lambda path: path.stem != "paper"):
        for line in read_lines(menu):
            inline = line.key == f"{kind}.levels" and re.search(rf"[{{ ]{re.escape(level)}: \{{", line.value or "")
            if level and (inline or line.key == f"{kind}.levels.{level}"):
                return menu.stem
    return None


def as_typed(text: object) -> str:
    """`text` in which every call of a job runs as it stands: `python jobs/tune.py` becomes `uv run python jobs/tune.py`
    in a checkout and `roadsign tune` where the wheel is installed."""
    return _CALL.sub(_typed, str(text))


def _typed(call: re.Match[str]) -> str:
    if not _is_checkout():
        return f"roadsign {call[1].replace('_', '-')}"
    said = call[0].removeprefix("uv run ")
    return said if said.startswith("jobs/") else f"{_uv_run()}{said}"


def _uv_run() -> str:
    if shutil.which("uv"):
        return "uv run "
    return ".uv/bin/uv run " if (_ROOT / ".uv" / "bin" / "uv").is_file() else ""


def _is_checkout() -> bool:
    return (_ROOT / "jobs" / "train_classifier.py").is_file()
