import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import DATASETS, SyntheticSigns
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import SettingsError, SourceError
from pipelines.geometry.crop_or_pad import CropOrPad
from pipelines.geometry.resize import Resize
from pipelines.geometry.roi_resize import RoiResize
from pipelines.noise.gaussian import Gaussian
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import describe, load, to_yaml
from pipelines.store.schema import Cell

CONFIG = Path(__file__).parents[3] / "conf" / "make_noisy_datasets.yaml"
PAPER = [f"{kind}-{level}" for kind in ("gaussian", "periodic", "salt_pepper") for level in ("min", "avg", "max")]
PROPOSAL = [
    f"{kind}-{level}"
    for kind in ("random", "patches", "blur", "black_rows", "black_columns")
    for level in ("min", "avg", "max")
]


def _load(*overrides: str) -> NoisyDatasets:
    """Loads the settings with a root, so that the current folder does not matter."""
    return load(NoisyDatasets, CONFIG, ["dataset.kind=gtsrb", "dataset.root=somewhere", *overrides])


def _refused(*overrides: str) -> str:
    with pytest.raises(SettingsError) as refused:
        _load(*overrides)
    return str(refused.value)


def _without_menus(folder: Path) -> Path:
    """The config in a folder without conf/noise/."""
    copy = folder / CONFIG.name
    copy.write_text(CONFIG.read_text())
    return copy


def test_the_default_is_the_papers_grid() -> None:
    """Four sizes × clean and nine noises, at seed 0."""
    settings = _load()
    assert settings.sizes_px == (28, 40, 50, 75)
    assert list(settings.chosen) == ["clean", *PAPER]
    assert settings.chosen["clean"] is None
    assert settings.cells == [
        Cell("crop_or_pad", size_px, variant) for size_px in (28, 40, 50, 75) for variant in ["clean", *PAPER]
    ]
    assert len(settings.cells) == 40
    assert (settings.geometry, settings.seed, settings.splits) == (CropOrPad(), 0, ("train", "validation", "test"))
    assert settings.partitions is None


def test_each_cell_has_its_own_folder() -> None:
    """<output_root>/<dataset>/geometry=…/size_px=…/variant=…"""
    settings = _load("output_root=/out")
    folders = [cell.folder(settings.dataset_folder) for cell in settings.cells]
    assert len(set(folders)) == 40
    assert folders[0] == Path("/out/gtsrb/geometry=crop_or_pad/size_px=28/variant=clean")


@pytest.mark.parametrize(
    ("noise", "names"), [("paper", PAPER), ("proposal", PROPOSAL), ("[paper,proposal]", PAPER + PROPOSAL)]
)
def test_the_menus_give_their_noises(noise: str, names: list[str]) -> None:
    """noise=[paper,proposal] is clean and 24 variants."""
    settings = _load(f"noise={noise}")
    assert list(settings.chosen) == ["clean", *names]
    assert len(PAPER + PROPOSAL) == 24


def test_variants_can_be_selected() -> None:
    """In the order of the noises; clean only if it is named."""
    settings = _load("variants=[salt_pepper-min,gaussian-max]", "sizes_px=[28]")
    assert list(settings.chosen) == ["gaussian-max", "salt_pepper-min"]
    assert list(_load("variants=[clean]").chosen) == ["clean"]
    assert [cell.variant for cell in settings.cells] == ["gaussian-max", "salt_pepper-min"]


def test_a_level_may_be_changed_or_added_in_place() -> None:
    """An override changes a key in the menu's file; settings shared by the levels stay shared."""
    noises = _load("noise.gaussian.levels.max.std_grey=60.0", "noise.gaussian.overflow=wrap").noise
    assert noises["gaussian-max"] == Gaussian(std_grey=60.0, overflow="wrap")
    assert noises["gaussian-min"] == Gaussian(std_grey=5.0, overflow="wrap")
    added = _load("noise.gaussian.levels.huge.std_grey=90.0").noise
    assert added["gaussian-huge"] == Gaussian(std_grey=90.0)


def test_a_level_may_have_settings_that_the_others_do_not_share() -> None:
    """A level's own value overrides the shared one."""
    noises = _load("noise.gaussian.levels.max.overflow=wrap").noise
    assert (noises["gaussian-max"], noises["gaussian-avg"]) == (
        Gaussian(std_grey=50.0, overflow="wrap"),
        Gaussian(std_grey=25.0),
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("geometry=resize", Resize()),
        ("geometry=roi_resize", RoiResize(margin_fraction=0.1)),
        ("geometry={kind: roi_resize, margin_fraction: 0.25}", RoiResize(margin_fraction=0.25)),
    ],
)
def test_a_geometry_is_named_alone_or_with_its_settings(override: str, expected: object) -> None:
    """A geometry is a string, or a kind with settings."""
    assert _load(override).geometry == expected


def test_splits_come_in_the_order_of_the_contract() -> None:
    """In any order in which they are named."""
    assert _load("splits=[test,train]").splits == ("train", "test")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "variants=[clean,gaussian-huge,nope]",
            f"unknown: gaussian-huge, nope; with this noise there are: clean, {', '.join(PAPER)}",
        ),
        ("noise=none", f"noise=none: not in {CONFIG.parent / 'noise'}; there are: held_out, ladder, paper, proposal"),
        (
            "noise.fog.levels.min.x=1",
            "noise: fog: unknown noise; there are: gaussian, periodic, salt_pepper, random, patches, blur,",
        ),
        (
            "geometry=rotate",
            "geometry: expected one of crop_or_pad, resize, roi_resize, jittered_roi_resize, got 'rotate'",
        ),
        ("geometry={kind: rotate}", "geometry: expected one of crop_or_pad, resize, roi_resize, jittered_roi_resize"),
        (
            "geometry={margin_fraction: 0.1}",
            "geometry: expected one of crop_or_pad, resize, roi_resize, jittered_roi_resize",
        ),
        ("geometry=3", "geometry: expected one of crop_or_pad, resize, roi_resize, jittered_roi_resize, got 3"),
        ("geometry={kind: roi_resize, margin: 0.1}", "geometry: margin: unknown key; there are: margin_fraction"),
        (
            "geometry={kind: roi_resize, margin_fraction: -1.0}",
            "geometry: margin_fraction: must be at least 0",
        ),
        ("dataset.kind=emnist", "dataset: expected one of gtsrb, synthetic_signs, mnist"),
        ("dataset=emnist", "dataset: expected one of gtsrb, synthetic_signs, mnist"),
        ("dataset.colour=red", "dataset: colour: unknown key; there are: root"),
        (
            "noise.gaussian.levels.max.std_grey=999.0",
            "noise: gaussian.levels.max.std_grey: must be at most 255",
        ),
        (
            "noise.gaussian.levels.max.std_grey=wide",
            "noise: gaussian.levels.max.std_grey: must be a number",
        ),
        (
            "noise.gaussian.levels.max.stdgrey=9",
            "noise: gaussian.levels.max.stdgrey: unknown key; there are: std_grey, overflow",
        ),
        ("noise.gaussian.levels.max=null", "noise: gaussian.levels.max.std_grey: missing"),
        ("noise.gaussian.overflow=mirror", "noise: gaussian.levels.min.overflow: must be clip or wrap"),
        ("noise.gaussian=null", "noise: gaussian: expected settings with levels: {min: {…}, …}, got None"),
        ("noise.gaussian.levels=null", "noise: gaussian: expected settings with levels: {min: {…}, …}, got "),
        ("noise=null", "noise: expected a menu of conf/noise/ or noises by name"),
        ("sizes_px=[28,28]", "sizes_px: contains duplicates, got [28, 28]"),
        ("sizes_px=[7]", "sizes_px.0: must be at least 8, got 7"),
        ("sizes_px=[513]", "sizes_px.0: must be at most 512, got 513"),
        ("sizes_px=[]", "sizes_px: "),
        ("sizes_px=28", "sizes_px: must be a list, got 28"),
        ("variants=[clean,clean]", "contains duplicates"),
        ("splits=[]", "splits: "),
        ("splits=[train,train]", "splits: contains duplicates"),
        ("splits=[train,holdout]", "splits.1: must be train, validation or test, got 'holdout'"),
        ("seed=-1", "seed: must be at least 0, got -1"),
        ("train_fraction=0.0", "train_fraction: must be more than 0, got 0.0"),
        ("validation_fraction=1.0", "validation_fraction: must be less than 1, got 1"),
        ("max_rejected_fraction=1.5", "max_rejected_fraction: must be at most 1, got 1.5"),
        ("images_per_part=0", "images_per_part: must be at least 1, got 0"),
        ("images_per_row_group=4001", "images_per_row_group: must be at most 4000, got 4001"),
        ("compression=gzip", "compression: must be none or zstd, got 'gzip'"),
        ("partitions=0", "partitions: must be at least 1, got 0"),
        ("size_px=[28]", "size_px: unknown key; there are: dataset, output_root, geometry, sizes_px"),
    ],
)
def test_an_unknown_value_is_reported_with_the_known_ones(override: str, told: str) -> None:
    """The message names the key, down to the level of a noise, and the choices."""
    assert told in _refused(override)


def test_a_menu_without_its_folder_is_reported(tmp_path: Path) -> None:
    """A copy of only the config has no noise/paper.yaml next to it."""
    with pytest.raises(SettingsError, match=r"noise: expected a menu of conf/noise/ or noises by name, for example"):
        load(NoisyDatasets, _without_menus(tmp_path), ["dataset.kind=gtsrb"])


def test_noises_may_be_in_the_config_itself(tmp_path: Path) -> None:
    """No menu is needed."""
    noise = "noise={gaussian: {levels: {a: {std_grey: 3.0}}}}"
    settings = load(NoisyDatasets, _without_menus(tmp_path), ["dataset.kind=gtsrb", noise])
    assert settings.noise == {"gaussian-a": Gaussian(std_grey=3.0)}


def _auto(*overrides: str) -> object:
    return load(NoisyDatasets, CONFIG, overrides).dataset


def test_a_root_without_a_kind_is_recognized_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere" / "Final_Training").mkdir(parents=True)
    assert _auto("dataset.root=elsewhere") == Gtsrb(root=Path("elsewhere"))
    with pytest.raises(SourceError, match=r"nowhere: no such folder; check dataset\.root"):
        _auto("dataset.root=nowhere")


def test_without_gtsrb_in_its_default_folder_signs_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run in a fresh checkout works; a file of that name is not a data set."""
    monkeypatch.chdir(tmp_path)
    assert _auto() == SyntheticSigns()
    assert _auto("dataset.tracks_per_class=3") == SyntheticSigns(tracks_per_class=3)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "GTSRB").write_text("")
    assert _auto() == SyntheticSigns()


def test_gtsrb_in_its_default_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder made by download_dataset.py is used, unless a kind is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "raw" / "GTSRB").mkdir(parents=True)
    assert _auto() == Gtsrb(root=Path("data/raw/GTSRB"))
    assert _auto("dataset.kind=synthetic_signs") == SyntheticSigns()


@pytest.mark.parametrize("kind", [kind for kind in DATASETS if kind != "image_folder"])
@pytest.mark.parametrize("form", ["dataset={}", "dataset.kind={}"])
def test_a_dataset_may_be_named(kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named as a string or by its kind, a dataset has its defaults."""
    monkeypatch.chdir(tmp_path)
    assert _auto(form.format(kind)) == DATASETS[kind]()


def test_settings_as_yaml_name_every_noise_and_the_dataset() -> None:
    """The output of a dry run has all settings of the levels."""
    told = to_yaml(_load())
    for expected in ("gaussian-max:", "std_grey: 50.0", "kind: gtsrb", "root: somewhere", "kind: crop_or_pad"):
        assert expected in told


def test_describe_has_the_kind_and_the_settings() -> None:
    """As JSON data."""
    assert describe(Gaussian(std_grey=5.0)) == {"kind": "gaussian", "std_grey": 5.0, "overflow": "clip"}
    assert describe(Gtsrb(root=Path("x"))) == {"kind": "gtsrb", "root": "x", "allow_missing_classes": False}


def _fingerprint(
    *overrides: str, size_px: int = 28, variant: str = "gaussian-max", digest: str = "d"
) -> dict[str, Any]:
    settings = _load("compression=none", *overrides)
    return settings.fingerprint(Cell(settings.geometry.kind, size_px, variant), digest, GTSRB_CARD)


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "splits=[train]",
        "validation_fraction=0.3",
        "train_fraction=0.5",
        "images_per_part=10",
        "images_per_row_group=10",
        "compression=zstd",
        "geometry=resize",
        "noise.gaussian.overflow=wrap",
        "noise.gaussian.levels.max.std_grey=51.0",
        "dataset={kind: synthetic_signs, root: x}",
    ],
)
def test_the_fingerprint_changes_with_settings_that_affect_bytes(override: str) -> None:
    """Each such setting, so that an older data set is not mistaken for the requested one."""
    assert _fingerprint(override) != _fingerprint()


def test_the_fingerprint_changes_with_the_cell_and_the_source() -> None:
    """It depends on the size, the variant and the digest of the images."""
    fingerprints = [
        _fingerprint(), _fingerprint(size_px=40), _fingerprint(variant="clean"), _fingerprint(variant="gaussian-min"),
        _fingerprint(digest="e"),
    ]  # fmt: skip
    assert all(one != other for number, one in enumerate(fingerprints) for other in fingerprints[:number])


@pytest.mark.parametrize(
    "override",
    [
        "partitions=3",
        "output_root=/elsewhere",
        "max_rejected_fraction=0.5",
        "dataset.root=/elsewhere",
        "sizes_px=[28]",
        "variants=[gaussian-max]",
        "noise.gaussian.levels.min.std_grey=6.0",
        "noise=[paper,proposal]",
    ],
)
def test_the_fingerprint_does_not_change_with_settings_that_affect_no_byte(override: str) -> None:
    """The folders of the data, the distribution of the work, and the other variants."""
    assert _fingerprint(override) == _fingerprint()


@pytest.mark.parametrize(
    ("variant", "noise", "level"),
    [("clean", "none", "none"), ("salt_pepper-max", "salt_pepper", "max"), ("gaussian-eps1.5", "gaussian", "eps1.5")],
)
def test_the_fingerprint_says_which_noise_and_level_tables_show(variant: str, noise: str, level: str) -> None:
    found = _fingerprint("noise.gaussian.levels={eps1.5: {std_grey: 3.0}}", variant=variant)
    assert (found["shown_noise"], found["shown_level"]) == (noise, level)


def test_the_fingerprint_is_what_json_gives_back() -> None:
    """It is compared with the one read from a manifest."""
    assert json.loads(json.dumps(_fingerprint())) == _fingerprint()
