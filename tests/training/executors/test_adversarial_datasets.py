import json
from pathlib import Path
from typing import Any

import pytest
from small_attacks import classifier, write_signs

from pipelines.errors import SettingsError
from pipelines.settings import load
from training.attacks import ATTACKS
from training.executors.adversarial_datasets import AdversarialDatasets, prepare
from training.tracking import FoundModel


def settings(repository: Path, *overrides: str) -> AdversarialDatasets:
    return load(
        AdversarialDatasets, repository / "conf" / "make_adversarial_datasets.yaml", ["data.root=x", *overrides]
    )


@pytest.mark.parametrize(
    ("overrides", "strengths"),
    [
        (["snr_db=[50,33.5]"], {"fgsm-snr50": {"snr_db": 50.0}, "fgsm-snr33.5": {"snr_db": 33.5}}),
        (["eps=[0.0313725]"], {"fgsm-eps0.03137": {"eps": 0.0313725}}),
        (["attack.norm=l2", "snr_db=[33]"], {"fgsm_norm_l2-snr33": {"snr_db": 33.0}}),
        (["attack.snr_space=standardised", "snr_db=[33]"], {"fgsm_snr_space_standardised-snr33": {"snr_db": 33.0}}),
        (["attack=pgd", "attack.steps=10", "eps=[0.1]"], {"pgd_steps_10-eps0.1": {"eps": 0.1}}),
        (["attack={kind: apgd, norm: l2, steps: 20}", "eps=[1]"], {"apgd_norm_l2_steps_20-eps1": {"eps": 1.0}}),
        (["attack=deepfool"], {"deepfool": None}),
        (["attack=one_pixel", "attack.pixels=3"], {"one_pixel_pixels_3": None}),
        (["data.variant=gaussian-max", "snr_db=[33]"], {"fgsm_on_gaussian_max-snr33": {"snr_db": 33.0}}),
    ],
)
def test_a_variants_name_is_the_attack_what_is_set_and_the_strength(
    repository: Path, overrides: list[str], strengths: dict[str, Any]
) -> None:
    assert settings(repository, *overrides).strengths == strengths


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        (["snr_db=[33]"], ("fgsm", "snr33", "fgsm", {"snr_db": 33.0})),
        (["eps=[0.0313725]"], ("fgsm", "eps0.03137", "fgsm", {"eps": 0.0313725})),
        (["attack=pgd", "attack.steps=9", "snr_db=[-3]"], ("pgd_steps_9", "snr-3", "pgd_steps_9", {"snr_db": -3.0})),
        (["attack=deepfool", "attack.overshoot=1e-5"],
         ("deepfool_overshoot_1e-05", "none", "deepfool_overshoot_1e-05", None)),
        (["attack=one_pixel"], ("one_pixel", "none", "one_pixel", {"pixels": 1})),
        (["attack=one_pixel", "attack.pixels=12", "attack.population=40", "data.variant=gaussian-max"],
         ("one_pixel_pixels_12_population_40_on_gaussian_max", "none", "one_pixel_population_40_on_gaussian_max",
          {"pixels": 12})),
    ],
)  # fmt: skip
def test_the_fingerprint_says_what_tables_and_curves_show(
    repository: Path, tmp_path: Path, overrides: list[str], shown: tuple[Any, ...]
) -> None:
    root = write_signs(tmp_path / "signs", ("clean", "gaussian-max"))
    given = settings(repository, f"data.root={root}", *overrides)
    plan = prepare(given, FoundModel("model.pt", "model", None, tmp_path / "model.pt"), classifier())
    ((cell, fingerprint),) = plan.fingerprints.items()
    assert tuple(fingerprint[f"shown_{key}"] for key in ("noise", "level", "curve", "strength")) == shown
    assert cell.variant == (shown[0] if shown[1] == "none" else f"{shown[0]}-{shown[1]}")
    assert json.loads(json.dumps(fingerprint)) == fingerprint


@pytest.mark.parametrize("kind", [kind for kind in ATTACKS if kind != "universal"])
def test_each_attack_has_a_menus_file_that_holds_its_defaults(repository: Path, kind: str) -> None:
    strength = [] if kind in ("deepfool", "one_pixel") else ["eps=[0.1]"]
    assert settings(repository, f"attack={kind}", *strength).attack == ATTACKS[kind]()


def test_splits_are_in_the_datasets_order(repository: Path) -> None:
    assert settings(repository, "snr_db=[33]", "splits=[test,train]").splits == ("train", "test")


@pytest.mark.parametrize("overrides", [["eps=[0]"], ["snr_db=[]"], ["eps=[0.1,0.100001]"], ["snr_db=[33]", "seed=-1"]])
def test_impossible_settings_are_refused(repository: Path, overrides: list[str]) -> None:
    with pytest.raises(SettingsError):
        settings(repository, *overrides)


@pytest.mark.parametrize(
    ("images", "row_groups", "counts", "said"),
    [
        (None, [(7, 4), (5,), (6,)], {"validation": 6, "test": 16}, "validation: 6 of 6 images, test: 16 of 16 images"),
        (12, [(7, 4), (1,), (6,)], {"validation": 6, "test": 12}, "validation: 6 of 6 images, test: 12 of 16 images"),
        (11, [(7, 4), (6,)], {"validation": 6, "test": 11}, "validation: 6 of 6 images, test: 11 of 16 images"),
        (1, [(1,), (1,)], {"validation": 1, "test": 1}, "validation: 1 of 6 images, test: 1 of 16 images"),
    ],
)
def test_at_most_so_many_images_of_each_split_are_attacked(
    repository: Path, tmp_path: Path, images: int | None, row_groups: list[tuple[int, ...]], counts: Any, said: str
) -> None:
    root, model = write_signs(tmp_path / "signs"), classifier()
    given = settings(
        repository, f"data.root={root}", f"data.images={images or 'null'}", "snr_db=[33]", "splits=[validation,test]"
    )
    plan = prepare(given, FoundModel("model.pt", "model", None, tmp_path / "model.pt"), model)
    by_file: dict[str, list[int]] = {}
    for _, path, _, rows in plan.row_groups:
        by_file.setdefault(path, []).append(rows)
    assert sorted(map(tuple, by_file.values()), reverse=True) == sorted(row_groups, reverse=True)
    assert plan.counts == counts
    assert plan.sentence() == said
    (fingerprint,) = plan.fingerprints.values()
    assert fingerprint.get("attacked_images", "not there") == (images or "not there")
