"""The import rules between packages and rooms, and libraries with one owner."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CONTRACT = {
    "commands", "console", "errors", "settings", "datasets", "noise", "places",
    "store.atomic_file", "store.schema", "store.image_batches", "store.shown", "store.contents",
    "store.recovered_groups", "store.remote_copy", "store.object_lease", "range_file",
}  # fmt: skip
"""What training may import of pipelines."""
DOORS: dict[str, set[str]] = {
    "pipelines.errors": set(),
    "pipelines.yaml_lines": set(),
    "pipelines.commands": {"yaml_lines"},
    "pipelines.console": set(),
    "pipelines.declared": set(),
    "pipelines.local_paths": set(),
    "pipelines.range_file": set(),
    "pipelines.places": {"errors", "local_paths", "range_file"},
    "pipelines.added_later": set(),
    "pipelines.layers": {"declared", "errors"},
    "pipelines.described_keys": {"declared", "yaml_lines"},
    "pipelines.problems": {"declared"},
    "pipelines.argument_forms": {"errors"},
    "pipelines.settings": {
        "added_later", "argument_forms", "commands", "declared", "described_keys", "errors", "layers", "local_paths",
        "places", "problems",
    },
    "pipelines.noise": {"settings"},
    "pipelines.geometry": {"noise", "settings"},
    "pipelines.datasets": {"console", "errors", "local_paths", "noise", "places", "settings"},
    "pipelines.store": {"datasets", "errors", "places"},
    "pipelines.tracks": {"datasets", "errors", "settings", "store"},
    "pipelines.render": {"commands", "datasets", "errors", "geometry", "noise", "places", "settings", "store"},
    "pipelines.spark": {"datasets", "errors", "geometry", "noise", "places", "render", "settings", "store"},
    "pipelines.job": {"argument_forms", "commands", "errors", "spark", "yaml_lines"},
    "training.streams": set(),
    "training.augmentation": set(),
    "training.models": set(),
    "training.attacks": {"models"},
    "training.objectives": {"attacks", "augmentation", "models"},
    "training.regularizers": set(),
    "training.tracking": set(),
    "training.loop": {"streams", "tracking"},
    "training.classifiers": {"augmentation", "loop", "models", "objectives", "regularizers", "streams", "tracking"},
    "training.evaluation.intervals": set(),
    "training.evaluation.classifiers": {"classifiers", "evaluation.intervals", "streams"},
    "training.evaluation.saliency": {"classifiers", "evaluation.classifiers", "streams"},
    "training.evaluation.units": {"classifiers", "evaluation.classifiers", "streams"},
    "training.evaluation.stability": {
        "attacks", "classifiers", "evaluation.classifiers", "evaluation.intervals", "models", "streams",
    },
    "training.gans": {"classifiers", "evaluation.classifiers", "loop", "models", "streams", "tracking"},
    "training.evaluation.robustness": {
        "attacks", "classifiers", "evaluation.classifiers", "evaluation.intervals", "evaluation.saliency",
        "evaluation.units", "streams",
    },
    "training.evaluation.certification": {
        "attacks", "classifiers", "evaluation.classifiers", "evaluation.intervals", "evaluation.robustness", "streams",
        "tracking",
    },
    "training.evaluation.report": {
        "classifiers", "evaluation.certification", "evaluation.classifiers", "evaluation.intervals",
        "evaluation.robustness", "evaluation.saliency", "streams", "tracking",
    },
    "training.evaluation.gans": {
        "augmentation", "classifiers", "evaluation.classifiers", "evaluation.intervals", "evaluation.robustness",
        "gans", "loop", "models", "streams", "tracking",
    },
    "training.joint": {
        "classifiers", "evaluation.classifiers", "evaluation.intervals", "gans", "loop", "models", "streams",
        "tracking",
    },
    "training.executors": {"attacks", "classifiers", "gans", "loop", "streams", "tracking"},
    "training.grids": {
        "attacks", "classifiers", "evaluation.classifiers", "evaluation.intervals", "evaluation.robustness", "loop",
        "streams", "tracking",
    },
    "training.tuning": {"classifiers", "loop", "tracking"},
    "training.retraining": {
        "classifiers", "evaluation.classifiers", "evaluation.gans", "evaluation.intervals", "evaluation.robustness",
        "executors", "loop", "streams", "tracking",
    },
    "training.lineage": {"classifiers", "retraining", "streams", "tracking"},
}  # fmt: skip
"""Which rooms of its own package a room may import; what training may import of pipelines is CONTRACT."""
OWNERS = {
    "yaml": ("pipelines/layers.py",),
    "omegaconf": ("pipelines/settings.py", "pipelines/layers.py"),
    "pyspark": ("pipelines/spark/", "pipelines/store/writer.py", "jobs/"),
    "matplotlib": (
        "pipelines/render/figures.py",
        "training/classifiers/smoothness_figure.py",
        "training/evaluation/",
        "training/gans/figures.py",
        "training/joint/figures.py",
    ),
    "captum": ("training/evaluation/saliency/",),
    "onnx": ("training/classifiers/foreign/onnx.py",),
    "onnxruntime": ("training/classifiers/foreign/onnx.py",),
    "requests": ("pipelines/datasets/transfer.py",),
    "petastorm": ("training/streams/petastorm_bridge.py",),
    "mlflow": ("training/tracking/",),
    "optuna": ("training/tuning/",),
    "torch_fidelity": ("training/evaluation/gans/inception.py",),
}  # fmt: skip
"""Libraries, and the files and folders that alone import them."""


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def here(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of everything that a file imports anywhere, including in functions and for type checking only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; a search for a name must find every user"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room_of(name: str) -> str:
    return max((room for room in DOORS if is_of(name, room)), key=len, default="")


def module_name(path: Path) -> str:
    return here(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_name(path): path for path in sources("pipelines", "training")}


def imported_modules(path: Path) -> Iterator[str]:
    for name in imports(path):
        for module in (name, name.rpartition(".")[0]):
            if module in MODULES:
                yield module
                break


@pytest.mark.parametrize("path", MODULES.values(), ids=here)
def test_a_room_imports_only_rooms_it_may_import(path: Path) -> None:
    own = room_of(module_name(path))
    if not own:
        assert path.name == "__init__.py", "lies flat beside the rooms"
        assert not list(imported_modules(path))
        return
    check_imports(path, own)


def check_imports(path: Path, own: str) -> None:
    """Checks the imports of a file as if it belonged to the room `own`."""
    package = own.partition(".")[0]
    for name in imports(path):
        assert not is_of(name, "jobs") and not is_of(name, "roadsign")
        if is_of(name, "pipelines") and package == "training":
            assert any(is_of(name, f"pipelines.{door}") for door in CONTRACT), name
        elif is_of(name, package):
            room = room_of(name)
            assert room == own or room.removeprefix(f"{package}.") in DOORS[own], f"{own} imports {name}"
        else:
            closed = ("torch", "torchvision", "mlflow", "petastorm", "training") if package == "pipelines" else ()
            assert not any(is_of(name, library) for library in closed), name


def test_a_robust_objective_may_be_in_the_room_of_objectives() -> None:
    path = REPOSITORY / "tests" / "reference" / "on_adversarial_images.py"
    assert any(is_of(name, "training.attacks") for name in imports(path))
    check_imports(path, "training.objectives")


def test_doors_lead_one_way() -> None:
    """In the order of DOORS, every room imports only rooms above it."""
    above: set[str] = set()
    for room, doors in DOORS.items():
        package = room.partition(".")[0]
        assert {f"{package}.{door}" for door in doors} <= above, room
        above.add(room)


def test_there_are_no_import_cycles() -> None:
    waiting = {name: set(imported_modules(path)) - {name} for name, path in MODULES.items()}
    while ready := {name for name, others in waiting.items() if not others & waiting.keys()}:
        waiting = {name: others for name, others in waiting.items() if name not in ready}
    assert not waiting, f"a cycle among {sorted(waiting)}"


def test_a_task_that_attacks_or_scores_imports_no_mlflow() -> None:
    """MLflow takes seconds to import, in each of Spark's Python workers."""
    reached, waiting = set[str](), {"training.executors.shipped"}
    while waiting := {other for name in waiting for other in imported_modules(MODULES[name])} - reached:
        reached |= waiting
    assert "training.executors.attack_step" in reached
    assert not [name for name in reached if is_of(name, "training.tracking")]


def test_every_room_has_a_docstring() -> None:
    for room in DOORS:
        folder = REPOSITORY / room.replace(".", "/")
        if folder.is_dir():
            said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            assert said and len(said) > 60, room


@pytest.mark.parametrize("path", sources("pipelines", "training", "jobs", "roadsign"), ids=here)
def test_a_library_with_an_owner_is_imported_only_by_its_owner(path: Path) -> None:
    for library, owners in OWNERS.items():
        if not here(path).startswith(owners):
            assert [name for name in imports(path) if is_of(name, library)] == []


def test_jobs_are_scripts_that_cannot_be_imported() -> None:
    for folder in ("jobs", "tests", "docker", "conf", "benchmarks"):
        assert not list((REPOSITORY / folder).rglob("__init__.py")), folder
    ours = {"pipelines", "training", "roadsign"}
    taken = ours | set(sys.stdlib_module_names) | packages_distributions().keys()
    for path in sources("jobs"):
        assert path.stem not in taken, f"{path} would shadow the module {path.stem} for the whole driver"
        assert path.read_text().count("\n") <= 80, path


def test_only_this_project_installs_its_packages() -> None:
    distributions = packages_distributions()
    for package in ("pipelines", "training", "roadsign"):
        assert set(distributions.get(package, [])) <= {"roadsign-robustness"}, package


def test_every_menu_is_a_plain_dict_whose_keys_name_its_files() -> None:
    from pipelines.datasets import DATASETS
    from pipelines.geometry import GEOMETRIES
    from pipelines.noise import NOISES
    from training.attacks import ATTACKS
    from training.classifiers.foreign import FORMS
    from training.gans import GANS
    from training.gans.latents import LATENTS
    from training.models import MODELS
    from training.objectives import OBJECTIVES

    menus = {
        "pipelines/noise": NOISES,
        "pipelines/geometry": GEOMETRIES,
        "pipelines/datasets": DATASETS,
        "training/models": MODELS,
        "training/objectives": OBJECTIVES,
        "training/attacks": ATTACKS,
        "training/classifiers/foreign": FORMS,
        "training/gans": GANS,
        "training/gans/latents": LATENTS,
    }
    for folder, menu in menus.items():
        assert type(menu) is dict
        for key, member in menu.items():
            assert (REPOSITORY / folder / f"{key}.py").is_file()
            assert member.__name__ == "".join(word.capitalize() for word in key.split("_"))


def test_the_menu_of_models_imports_no_library_but_torch() -> None:
    """Every job that reads a checkpoint imports it, as does each of Spark's Python workers."""
    allowed = {"torch", "pydantic", "pipelines", "training"} | set(sys.stdlib_module_names)
    for path in sources("training/models"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert module and module.partition(".")[0] in allowed, f"{path}: import {module} inside `layers`"


def test_files_stay_short_and_small() -> None:
    """The limit in CONTRIBUTING is about 250 lines."""
    for path in sources("pipelines", "training", "jobs", "benchmarks"):
        assert path.read_text().count("\n") <= 280, path


def test_the_front_is_thin_and_no_job_imports_it() -> None:
    for path in sources("roadsign"):
        assert path.read_text().count("\n") <= 150, path
    for path in sources("jobs"):
        assert not [name for name in imports(path) if is_of(name, "roadsign")], path
