from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.settings import load, to_yaml
from training.attacks.apgd import Apgd
from training.evaluation.certification.settings import CertifyClassifier

CONFIG = Path(__file__).parents[4] / "conf" / "certify_classifier.yaml"


def read(*overrides: str) -> CertifyClassifier:
    return load(CertifyClassifier, CONFIG, ["data.root=signs", *overrides])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("samples=9", "samples=9: even if all agree.*alpha=0.001.*at least 10 are needed"),
        ("attack_samples=10", "at least 11 are needed"),
        ("sigma_grey=0", "sigma_grey"),
        ("snr_db=[50,.inf]", "snr_db"),
        ("snr_db=[33,33.0]", "duplicates"),
        ("snr_db=[]", "snr_db"),
        ("alpha=0", "alpha"),
        ("attack=deepfool", "no strength"),
        ("attack=pgd", "set attack.norm=l2"),
        ("attack_draws=-1", "attack_draws"),
        ("data.images=0", "images"),
    ],
)
def test_bad_settings_are_refused_with_what_to_do(override: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(override)


def test_another_attack_is_a_line() -> None:
    assert read("attack=apgd", "attack.norm=l2").attack == Apgd(norm="l2")
    assert read("attack.steps=3").attack.model_dump()["steps"] == 3
    assert read("samples=10").samples == 10


def test_settings_can_be_read_back(tmp_path: Path) -> None:
    settings = read("snr_db=[33,50]")
    assert settings.snr_db == (50.0, 33.0)
    (tmp_path / "own.yaml").write_text(to_yaml(settings))
    assert load(CertifyClassifier, tmp_path / "own.yaml", [], CONFIG) == settings
