"""The settings of jobs/retrain.py as they are typed, and the command lines that its steps get."""

from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from training.classifiers.settings import TrainClassifier
from training.executors.adversarial_datasets import AdversarialDatasets
from training.retraining.settings import Retrain

CONF = Path(__file__).parents[3] / "conf"


def settings(*overrides: str) -> Retrain:
    return load(Retrain, CONF / "retrain.yaml", ["dataset.kind=synthetic_signs", *overrides])


def digest(*overrides: str) -> str:
    return settings(*overrides).configuration(CONF, [])


def test_each_steps_command_line_is_one_that_its_job_takes() -> None:
    given = settings("size_px=28", "datasets=[seed=7]", "training=[epochs=3]", "device=cpu", "geometry=resize")
    datasets = load(NoisyDatasets, CONF / "make_noisy_datasets.yaml", given.for_datasets(28, "b1"))
    assert (datasets.sizes_px, datasets.seed, datasets.geometry.kind, datasets.batch_id) == ((28,), 7, "resize", "b1")
    training = load(
        TrainClassifier, CONF / "train_classifier.yaml", given.for_training(Path("d s"), 5, Path("r"), "b1")
    )
    assert (training.epochs, training.seed, training.data.root, training.data.size_px) == (3, 5, "d s", 28)
    assert (training.runs_root, training.resume, training.tracking.batch_id) == (Path("r"), "auto", "b1")
    (attack,) = given.attacks
    attacked = load(
        AdversarialDatasets, CONF / "make_adversarial_datasets.yaml", given.for_attack(Path("d"), "m", attack, "b1")
    )
    assert list(attacked.strengths) == ["fgsm-snr50", "fgsm-snr45", "fgsm-snr40", "fgsm-snr33"]
    assert (attacked.data.root, attacked.data.geometry, attacked.splits, attacked.batch_id) == (
        Path("d"), "resize", ("validation",), "b1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "override",
    [
        "training=[epochs=3]", "seeds=[1]", "attacks=[[attack=pgd, 'eps=[0.03]']]", "attacks=[]", "gate.margin=0.01",
        "split=test", "gate.minimum_accuracy=0.5", "training=[model=baseline_cnn_mixture]", "size_px=28",
    ],
)  # fmt: skip
def test_settings_that_can_have_an_effect_change_the_configuration(override: str) -> None:
    assert digest(override) != digest()


def test_seeds_that_could_not_be_compared_on_validation_images_are_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="train_on: the seeds are compared on validation images; set train_on="):
        digest("training=['train_on=[train,validation]']")


def test_other_teachers_are_another_configuration() -> None:
    """Before a training their weights are not read, so that their paths count."""
    one, other = (
        digest("training=['objective={kind: distillation, teachers: [" + name + ".pt]}']") for name in ("one", "two")
    )
    assert one != other


@pytest.mark.parametrize(
    "override",
    ["state_root=elsewhere", "lease_s=9", "schedule.every_h=1", "force=true", "device=cpu", "batch_size=9"],
)
def test_settings_without_effect_do_not_change_the_configuration(override: str) -> None:
    assert digest(override) == digest()


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training=[epoch=3]", "epoch: unknown key"), ("attacks=[[attack=fgsm]]", "fgsm needs snr_db"),
        ("seeds=[1,1]", "contains duplicates"), ("name=a/b", "name: "), ("seeds=[]", "seeds: "),
    ],
)  # fmt: skip
def test_settings_that_would_stop_a_later_step_are_refused_before_the_first(override: str, key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        digest(override)
