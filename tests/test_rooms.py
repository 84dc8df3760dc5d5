"""The doors between the packages, as docs/design has them: who may import whom, and names that nobody else may have."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
OWNERS = {
    "yaml": "pipelines/settings.py",
    "omegaconf": "pipelines/settings.py",
    "matplotlib": "pipelines/render/figures.py",
    "requests": "pipelines/datasets/download.py",
    "petastorm": "training/streams/petastorm_bridge.py",
    "mlflow": "training/tracking/",
    "torch_fidelity": "training/evaluation/gans/inception.py",
}
"""Libraries with one owner, a file or a folder; matplotlib's in training is training/evaluation."""


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Full names of all modules and names that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; a search for a name must find every user"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("path", sources("pipelines"), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_pipelines_know_nothing_of_torch_mlflow_training_or_jobs(path: Path) -> None:
    closed = ("torch", "torchvision", "mlflow", "petastorm", "training", "jobs")
    assert [name for name in imports(path) for package in closed if is_of(name, package)] == []


def test_training_takes_five_names_of_pipelines_and_no_job() -> None:
    doors = tuple(f"pipelines.{name}" for name in ("schema", "contents", "settings", "datasets", "errors"))
    for path in sources("training"):
        for name in imports(path):
            assert not is_of(name, "jobs"), path
            assert not is_of(name, "pipelines") or any(is_of(name, door) for door in doors), (path, name)


@pytest.mark.parametrize(
    "path", sources("pipelines", "training", "jobs"), ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_a_library_with_an_owner_is_imported_by_its_owner_alone(path: Path) -> None:
    here = path.relative_to(REPOSITORY).as_posix()
    for library, owner in OWNERS.items():
        if not here.startswith((owner, "training/evaluation/")):
            assert [name for name in imports(path) if is_of(name, library)] == []


def test_noise_geometry_and_statistics_know_nothing_of_spark() -> None:
    pure = [*sources("pipelines/noise", "pipelines/geometry", "pipelines/datasets")]
    pure += [REPOSITORY / "pipelines" / name for name in ("statistics.py", "render.py", "schema.py", "splits.py")]
    for path in pure:
        assert [name for name in imports(path) if is_of(name, "pyspark")] == [], path


def test_jobs_are_scripts_that_nobody_can_import() -> None:
    for folder in ("jobs", "tests", "docker", "conf", "benchmarks"):
        assert not list((REPOSITORY / folder).rglob("__init__.py")), folder
    ours = {"pipelines", "training"}
    taken = ours | set(sys.stdlib_module_names) | packages_distributions().keys()
    for path in sources("jobs"):
        assert path.stem not in taken, f"{path} would shadow the module {path.stem} for the whole driver"
        assert path.read_text().count("\n") <= 80, path


def test_nobody_else_installs_our_packages() -> None:
    distributions = packages_distributions()
    for package in ("pipelines", "training"):
        assert set(distributions.get(package, [])) <= {"roadsign-robustness"}, package


def test_every_menu_is_a_plain_dict_whose_keys_name_its_files() -> None:
    from pipelines.datasets import DATASETS
    from pipelines.geometry import GEOMETRIES
    from pipelines.noise import NOISES

    for menu, folder in ((NOISES, "noise"), (GEOMETRIES, "geometry"), (DATASETS, "datasets")):
        for key, member in menu.items():
            assert (REPOSITORY / "pipelines" / folder / f"{key}.py").is_file()
            assert member.__name__ == "".join(word.capitalize() for word in key.split("_"))


def test_files_stay_short_and_small() -> None:
    for path in sources("pipelines", "training", "jobs", "benchmarks"):
        assert path.read_text().count("\n") <= 320, path
