"""Every command of a job or of make that the pages, the settings files and the jobs show is one that can be typed."""

import ast
import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from pipelines.argument_forms import refuse_split
from pipelines.errors import RoadsignError, SettingsError
from pipelines.settings import load, parse_arguments
from pipelines.yaml_lines import read_lines
from training.classifiers.arguments import own_and_trainings
from training.classifiers.settings import TrainClassifier

REPOSITORY = Path(__file__).parents[1]
CONF = REPOSITORY / "conf"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FILES = [*PAGES, *sorted(CONF.rglob("*.yaml")), *sorted((REPOSITORY / "jobs").glob("*.py"))]
CALL = re.compile(r"(?:python|spark-submit|torchrun)(?: -{1,2}[\w-]+ \S+)* jobs/(?P<job>\w+)\.py(?P<arguments>[^`]*)")
INSTALLED = re.compile(r"(?:^|[ `])roadsign (?P<job>[a-z]+(?:-[a-z]+)+)(?P<arguments>[^`\n]*)")
STARTS_TRAININGS = ("tune", "run_grid")
TOGETHER = {"lr_steps": ["schedule=steps"]}
"""Settings that a key is only allowed with."""
OPTIONS = {"--dry-run", "--status", "--json", "--scheduled", "--help", "--verify"}


class Command(NamedTuple):
    where: str
    job: str
    arguments: list[str]
    is_whole: bool
    """False if the page leaves something out with an …"""


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page or of comments; a line that ends with a backslash goes on in the next."""
    text = path.read_text()
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if joined else number
        joined += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            yield start, joined
            joined = ""


def commands() -> Iterator[Command]:
    for path in FILES:
        for number, line in lines_of(path):
            for call in [*CALL.finditer(line), *INSTALLED.finditer(line)]:
                where = f"{path.relative_to(REPOSITORY)}:{number}"
                arguments = typed(call["arguments"])
                whole = "…" not in call["arguments"]
                yield Command(where, call["job"].replace("-", "_"), arguments, whole)


def typed(text: str) -> list[str]:
    """The arguments without comments and placeholders: <run id> and $DATASETS are values, [key=value …] is optional."""
    text = re.sub(r"(?<!\?P)<[^<>]*>", "PLACE", text)
    text = re.split(r"  +[^ '\"=]+ |  +# | #|(?<=\S)  +(?=[a-zA-Z].* )", text)[0]
    text = text.replace("[--config FILE]", "").replace("[--dry-run]", "")
    text = re.sub(r"\[--status(?: \| --scheduled)?\]|\[--json\]|\[key=value(?: …)?\]", "", text)
    text = re.sub(r"(?<= )\[('?[\w.]+=[^ ]*)\]", r"\1", text)
    tokens = shlex.split(text.rstrip(".;:,) "), comments=True)
    return [filled(token) for token in tokens if token not in OPTIONS and token != "…" and not is_open_menu(token)]


def is_open_menu(token: str) -> bool:
    """attack=…, for any file of conf/attack/."""
    key, _, value = token.partition("=")
    return value == "…" and (CONF / key).is_dir()


def filled(token: str) -> str:
    """A value in place of NAME and of key=…."""
    return {"NAME": "mnist"}.get(token, re.sub(r"^([\w.]+)=…$", r"\1=PLACE_\1", token))


def module_of(job: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"command_{job}", REPOSITORY / "jobs" / f"{job}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Parsed(Exception):  # noqa: N818
    def __init__(self, settings_type: type[Any], settings: Any) -> None:
        self.settings_type, self.settings = settings_type, settings


def parsed(job: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """The settings that the job makes of these arguments. Raises SettingsError."""
    module = module_of(job)

    def stop(settings_type: type[Any], config: Path, description: str, given: Sequence[str]) -> Any:
        raise Parsed(settings_type, parse_arguments(settings_type, config, description, given)[0])

    monkeypatch.setattr(module, "parse_arguments", stop)
    refuse_split(arguments)
    with pytest.raises(Parsed) as found:
        module.run(list(arguments))
    return found.value


def check(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [argument for argument in command.arguments if not argument.startswith("--config")]
    if "--config" in command.arguments:  # the file that a study writes
        arguments.remove(command.arguments[command.arguments.index("--config") + 1])
    try:
        found = parsed(command.job, arguments, monkeypatch)
        if command.job in STARTS_TRAININGS:
            load(TrainClassifier, CONF / "train_classifier.yaml", own_and_trainings(arguments, found.settings_type)[1])
        if command.job == "retrain":
            load(TrainClassifier, CONF / "train_classifier.yaml", found.settings.training)
    except SettingsError as error:
        problems = [line for line in str(error).splitlines() if line.startswith("  ")] or [str(error)]
        assert not command.is_whole and all(re.search(": missing; give | needs ", problem) for problem in problems), (
            error
        )
    except RoadsignError:  # raw images that are not there
        pass


COMMANDS = list(commands())


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 130
    assert {command.job for command in COMMANDS} == {path.stem for path in (REPOSITORY / "jobs").glob("*.py")}


@pytest.mark.parametrize("job", sorted({command.job for command in COMMANDS}))
def test_a_shown_command_has_keys_and_values_that_there_are(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (REPOSITORY / "jobs" / f"{job}.py").is_file()
    failed = []
    for command in [one for one in COMMANDS if one.job == job]:
        try:
            with monkeypatch.context() as patch:
                check(command, patch)
        except (AssertionError, SettingsError, ValueError) as error:
            failed.append(f"{command.where}: {command.arguments}: {error}")
    assert not failed, "\n".join(failed)


def examples() -> Iterator[tuple[str, str, str]]:
    """(job, key, value) of each "e.g. value" in the comment of a key."""
    for config in sorted(CONF.glob("*.yaml")):
        for line in read_lines(config):
            for found in re.finditer(r"e\.g\. (\[.*\]|\{.*\}|\S+?)(?=[;,.]? |[;,.]?$)", line.comment):
                yield config.stem, line.key, found[1]


@pytest.mark.parametrize(("job", "key", "value"), [pytest.param(*one, id="-".join(one[:2])) for one in examples()])
def test_an_example_in_a_comment_is_a_value_of_its_key(
    job: str, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [f"{key}={value}"]
    missing = [line.key for line in read_lines(CONF / f"{job}.yaml") if line.value == "???"]
    settings = parsed(
        job, [*(f"{name}=PLACE_{name}" for name in missing), *given, *TOGETHER.get(key, [])], monkeypatch
    ).settings
    if job == "retrain" and key == "training":
        load(TrainClassifier, CONF / "train_classifier.yaml", settings.training)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_shown_target_of_make_is_in_the_makefile(path: Path) -> None:
    there = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"`make ([a-z-]+)|^    make ([a-z-]+)", path.read_text(), re.MULTILINE))
    assert {one or other for one, other in shown} <= there


def test_the_demonstration_runs_commands_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    make = ["make", "--dry-run", "--no-print-directory", "demo"]
    told = subprocess.run(make, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    calls = re.findall(r"run --no-sync python jobs/(\w+)\.py (.*?) 2?>", told)
    assert [job for job, _ in calls] == ["make_noisy_datasets", "train_classifier", "report_robustness"]
    for job, arguments in calls:
        with monkeypatch.context() as patch:
            check(Command("Makefile", job, shlex.split(arguments), True), patch)


def test_a_registered_model_has_the_name_that_the_settings_give_it() -> None:
    (given,) = [line.value for line in read_lines(CONF / "retrain.yaml") if line.key == "name"]
    for path in FILES:
        named = re.findall(r"models:/(\w+)[@/]|registered_model_alias\(\"(\w+)\"", path.read_text())
        assert {one or other for one, other in named} <= {given, "name"}, path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_linked_file_and_heading_are_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]*(?:#[^)]*)?)\)", path.read_text()):
        file, _, heading = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        if heading:
            anchors = {
                re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
                for line in page.read_text().splitlines()
                if line.startswith("#")
            }
            assert heading in anchors, target
