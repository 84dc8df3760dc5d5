"""The Dockerfiles, read as text, since a container engine may not be available."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCKERFILES = sorted((REPOSITORY / "docker").glob("*.Dockerfile"))
BUILDER = REPOSITORY / "docker" / "test_images.sh"
LABELS = ("title", "description", "licenses", "revision", "base.name")


def instructions(path: Path) -> list[tuple[str, str]]:
    """(FROM, its arguments), …, with continued lines joined."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    return found[max(number for number, (name, _) in enumerate(found) if name == "FROM") :]


def sent_to_the_builder(path: str) -> bool:
    """Evaluates .dockerignore, which excludes everything except the listed paths."""
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    return any(path == rule.rstrip("/") or path.startswith(rule.rstrip("/") + "/") for rule in allowed)


def test_there_are_three_images() -> None:
    names = [path.name.removesuffix(".Dockerfile") for path in DOCKERFILES]
    assert names == ["mlflow", "spark", "trainer"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_copied_files_exist_and_are_sent_to_the_builder(path: Path) -> None:
    copied = [rest.split()[:-1] for name, rest in instructions(path) if name == "COPY" and "--from=" not in rest]
    assert copied
    for source in (name for names in copied for name in names):
        assert (REPOSITORY / source).exists(), source
        assert sent_to_the_builder(source), source


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_the_locked_environment_without_the_sources(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"uv sync --frozen --(no-dev|only-group server)\b", text)
    assert ("COPY pipelines" not in text) or ("--no-editable" in text)
    final = last_stage(path)
    targets = [rest.split()[-1] for name, rest in final if name == "COPY"]
    (folder,) = [rest for name, rest in final if name == "WORKDIR"]
    assert not [target for target in targets if target.startswith(folder)]
    assert not [rest for name, rest in final if name == "COPY" and rest.startswith(("pipelines", "training"))]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_runs_without_root_has_labels_and_a_health_check(path: Path) -> None:
    final = last_stage(path)
    users = [rest for name, rest in final if name == "USER"]
    assert users == ["10001:10001"]
    labels = " ".join(rest for name, rest in final if name == "LABEL")
    assert all(f"org.opencontainers.image.{label}=" in labels for label in LABELS)
    (check,) = [rest for name, rest in final if name == "HEALTHCHECK"]
    (script,) = re.findall(r'"/opt/roadsign/(services/\w+\.sh)"', check)
    assert (REPOSITORY / "docker" / script).is_file()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_bases_are_arguments_with_a_pinned_default(path: Path) -> None:
    found = instructions(path)
    assert {rest.split()[0] for name, rest in found if name == "FROM"} == {"${BASE_IMAGE}"}
    (base,) = [rest.partition("=")[2] for name, rest in found if name == "ARG" and rest.startswith("BASE_IMAGE=")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)


def test_all_images_have_one_base_since_spark_needs_one_python_version() -> None:
    bases = {rest for path in DOCKERFILES for name, rest in instructions(path) if rest.startswith("BASE_IMAGE=")}
    assert len(bases) == 1


def test_uv_is_the_locked_one() -> None:
    (locked,) = re.findall(r'name = "uv"\nversion = "([\d.]+)"', (REPOSITORY / "uv.lock").read_text())
    used = {rest for path in DOCKERFILES for _, rest in instructions(path) if rest.startswith("UV_VERSION=")}
    assert used == {f"UV_VERSION={locked}"}


def test_images_are_built_and_their_services_started_where_possible() -> None:
    """By `make test-images`."""
    tried = re.findall(r"^try_(\w+)\(\)", BUILDER.read_text(), re.MULTILINE)
    assert tried == [path.name.removesuffix(".Dockerfile") for path in DOCKERFILES]


def test_what_is_missing_to_build_images_is_reported(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, BUILDER], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "skipped: buildah is not installed\n")
