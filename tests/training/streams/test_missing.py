"""A dataset that is missing: each mistake has its own message, and the proposed command makes what is missing."""

import re
import shlex
from pathlib import Path

import pytest
from small_datasets import Small

from pipelines.errors import StreamError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from training.executors.adversarial_datasets import AdversarialDatasets
from training.streams.open_split import open_split

PARTS = {"train": [[20]], "validation": [[8]], "test": [[8]]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Small(PARTS, ("clean", "gaussian-max"), size_px=8).write(tmp_path / "data" / "datasets" / "gtsrb")
    (tmp_path / "data" / "raw" / "signs" / "Final_Training").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(root: str, variant: str = "clean", geometry: str = "crop_or_pad", size_px: int = 8) -> str:
    with pytest.raises(StreamError) as refused:
        open_split(root, geometry, size_px, [variant], "train")
    return str(refused.value)


def test_a_typo_names_the_datasets_that_are_there(here: Path) -> None:
    assert told("data/datasets/gtrsb") == (
        "data/datasets/gtrsb: no such dataset; the datasets in data/datasets are: gtsrb; "
        "did you mean data.root=data/datasets/gtsrb?"
    )
    assert told("data/datasets/mnist").endswith("make it: spark-submit jobs/make_noisy_datasets.py dataset.kind=mnist")


def test_a_folder_of_raw_images_is_told_from_a_dataset(here: Path) -> None:
    assert told("data/raw/signs") == (
        "data/raw/signs: not a dataset, since it has no folder geometry=…; it holds: Final_Training; if these are raw "
        "images, make a dataset of them: spark-submit jobs/make_noisy_datasets.py dataset.root=data/raw/signs"
    )


@pytest.mark.parametrize("root", ["data/datasets", "data/datasets/", "data/datasets/gtsrb/geometry=crop_or_pad"])
def test_a_folder_above_or_inside_is_told_where_the_dataset_is(here: Path, root: str) -> None:
    assert told(root).endswith("data.root=data/datasets/gtsrb")


def test_a_wrong_working_directory_is_named_with_what_it_holds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "data" / "raw")
    message = told("data/datasets/gtsrb")
    assert message.startswith(
        f"data/datasets/gtsrb: the current folder {here / 'data' / 'raw'} has no folder data (it holds signs); "
    )
    monkeypatch.setattr("training.streams.missing.home", lambda: here)
    assert told("data/datasets/gtsrb").endswith(
        f"the dataset is in {here}: start there, or give data.root={here / 'data' / 'datasets' / 'gtsrb'}"
    )


@pytest.mark.parametrize(
    ("variant", "noise"),
    [
        ("blur-max", "proposal"),
        ("jpeg-min", "held_out"),
        ("periodic-max_4px", "held_out"),
        ("gaussian-avg_wrap", "readings"),
    ],
)
@pytest.mark.parametrize(("geometry", "size_px"), [("crop_or_pad", 8), ("roi_resize", 48)])
def test_the_proposed_command_makes_the_missing_variant(
    here: Path, repository: Path, variant: str, noise: str, geometry: str, size_px: int
) -> None:
    job, settings = proposed(told("data/datasets/gtsrb", variant, geometry, size_px))
    assert job == "make_noisy_datasets" and f"noise={noise}" in settings
    made = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", settings)
    ((of_geometry, of_size, name),) = [cell[:3] for cell in made.cells]
    assert (of_geometry, of_size, name) == (geometry, size_px, variant)


def test_the_proposed_command_keeps_the_settings_of_the_dataset(here: Path) -> None:
    root = here / "elsewhere" / "own"
    Small(PARTS, size_px=8, fingerprint={"seed": 7, "validation_fraction": 0.3}).write(root)
    _, settings = proposed(told(str(root), "gaussian-max"))
    assert {"seed=7", "validation_fraction=0.3", "output_root=elsewhere"} <= set(settings)
    _, settings = proposed(told("data/datasets/gtsrb", "gaussian-min"))
    assert not [setting for setting in settings if setting.startswith(("seed=", "output_root=", "noise="))]


@pytest.mark.parametrize(
    ("variant", "attack", "strength"),
    [("fgsm-snr33", "fgsm", "snr_db"), ("pgd_steps_3-eps0.03", "pgd", "eps"), ("one_pixel_pixels_3", "one_pixel", "")],
)
def test_a_missing_attack_proposes_the_attack(
    here: Path, repository: Path, variant: str, attack: str, strength: str
) -> None:
    job, settings = proposed(told("data/datasets/gtsrb", variant))
    made = load(AdversarialDatasets, repository / "conf" / "make_adversarial_datasets.yaml", settings)
    assert job == "make_adversarial_datasets" and made.attack.kind == attack
    assert not strength or getattr(made, strength)


def test_a_misspelt_variant_is_compared_with_those_that_are_there(here: Path) -> None:
    message = told("data/datasets/gtsrb", "gausian-max")
    assert "(variants there: clean, gaussian-max); did you mean gaussian-max? conf/noise/ has no gausian-max" in message


def test_a_missing_size_names_the_sizes(here: Path) -> None:
    assert "(variants there: none; sizes at crop_or_pad: 8 px)" in told("data/datasets/gtsrb", size_px=28)
    assert "(variants there: none; geometries there: crop_or_pad)" in told("data/datasets/gtsrb", geometry="resize")


def proposed(message: str) -> tuple[str, list[str]]:
    """The job and its settings in "make it: spark-submit jobs/<job>.py …"."""
    found = re.search(r"make it: spark-submit jobs/(\w+)\.py (.*)$", message)
    assert found, message
    return found[1], shlex.split(found[2])
