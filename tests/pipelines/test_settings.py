import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from pipelines.argument_forms import refuse_split
from pipelines.errors import RoadsignError, SettingsError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import LocalPath, Settings, load, parse_arguments, plain_yaml, to_yaml


class Camera(Settings):
    width_px: int = Field(ge=1)
    name: str = "front"


class Trip(Settings):
    """Typical settings of a job: values, a nested object, a list, a path and a menu."""

    seed: int
    speed: float = 1.5
    camera: Camera
    stops: tuple[int, ...] = (1, 2)
    folder: LocalPath
    wheels: dict[str, Any]


CONFIG = """\
seed: 1
camera: {width_px: 640}
folder: data/raw
wheels: small        # a menu
"""
SMALL = "rim: {inch: 14, holes: 4}\ntyre: soft\n"
LARGE = "rim: {inch: 20}\nspikes: true\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "small.yaml").write_text(SMALL)
    (tmp_path / "wheels" / "large.yaml").write_text(LARGE)
    (tmp_path / "trip.yaml").write_text(CONFIG)
    return tmp_path / "trip.yaml"


def _refused(config: Path, *overrides: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(Trip, config, overrides)
    return str(refused.value)


def test_a_file_becomes_typed_settings(config: Path) -> None:
    """Numbers, nested objects and paths have their types; keys that are not in the file have their defaults."""
    trip = load(Trip, config)
    assert trip == Trip(
        seed=1,
        camera=Camera(width_px=640),
        folder=Path("data/raw"),
        wheels={"rim": {"inch": 14, "holes": 4}, "tyre": "soft"},
    )
    assert (trip.speed, trip.stops, trip.camera.name) == (1.5, (1, 2), "front")


def test_settings_cannot_be_changed(config: Path) -> None:
    """Settings are immutable, including nested ones."""
    trip = load(Trip, config)
    for settings, key in ((trip, "seed"), (trip.camera, "width_px")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, key, 2)


@pytest.mark.parametrize(
    ("override", "get", "expected"),
    [
        ("seed=7", lambda trip: trip.seed, 7),
        ("seed=-7", lambda trip: trip.seed, -7),
        ("speed=2", lambda trip: trip.speed, 2.0),
        ("speed=1e-3", lambda trip: trip.speed, 0.001),
        ("stops=[3,4,5]", lambda trip: trip.stops, (3, 4, 5)),
        ("stops=[]", lambda trip: trip.stops, ()),
        ("camera.width_px=800", lambda trip: trip.camera, Camera(width_px=800)),
        ("camera.name=a=b", lambda trip: trip.camera.name, "a=b"),
        ("camera={width_px: 9, name: x}", lambda trip: trip.camera, Camera(width_px=9, name="x")),
        ("folder=/elsewhere", lambda trip: trip.folder, Path("/elsewhere")),
        ("wheels.rim.inch=15", lambda trip: trip.wheels, {"rim": {"inch": 15, "holes": 4}, "tyre": "soft"}),
        ("wheels.rim.colour=red", lambda trip: trip.wheels["rim"], {"inch": 14, "holes": 4, "colour": "red"}),
        ("wheels=large", lambda trip: trip.wheels, {"rim": {"inch": 20}, "spikes": True}),
        ("wheels=[large]", lambda trip: trip.wheels, {"rim": {"inch": 20}, "spikes": True}),
    ],
)
def test_an_override_is_laid_over_the_file(
    config: Path, override: str, get: Callable[[Trip], object], expected: object
) -> None:
    """key=value, a.b=value, YAML values; keys inside a menu's file too; the rest stays as it was."""
    trip = load(Trip, config, [override])
    assert get(trip) == expected
    changed = override.partition("=")[0].partition(".")[0]
    assert trip.model_dump(exclude={changed}) == load(Trip, config).model_dump(exclude={changed})


@pytest.mark.parametrize("overrides", [("stops=${sights}", "sights=[8]"), ("sights=[8]", "stops=${sights}")])
def test_an_override_may_name_another_key(config: Path, overrides: tuple[str, ...]) -> None:
    class Tour(Trip):
        sights: tuple[int, ...]

    assert load(Tour, config, overrides).stops == (8,)


def test_an_override_inside_a_named_mapping_changes_only_that_key(config: Path) -> None:
    """In any order of the overrides, if the named mapping is in a menu."""
    config.write_text(CONFIG.replace("{width_px: 640}", "${wheels.front}"))
    (config.parent / "wheels" / "small.yaml").write_text("front: {width_px: 1, name: x}\n")
    for overrides in (["camera.name=y", "wheels.front.width_px=3"], ["wheels.front.width_px=3", "camera.name=y"]):
        found = load(Trip, config, overrides)
        assert found.camera == Camera(width_px=3, name="y")
        assert found.wheels == {"front": {"width_px": 3, "name": "x"}}


def test_the_last_of_several_overrides_wins(config: Path) -> None:
    """As usual on command lines."""
    assert load(Trip, config, ["seed=7", "speed=3", "seed=8"]).seed == 8


def test_a_mapping_replaces_the_mapping_in_the_file(config: Path) -> None:
    with pytest.raises(SettingsError, match=r"camera.width_px: missing"):
        load(Trip, config, ["camera={name: rear}"])
    assert load(Trip, config, ["camera={width_px: 320}"]).camera == Camera(width_px=320)
    assert load(Trip, config, ["camera.name=rear"]).camera == Camera(width_px=640, name="rear")


@pytest.mark.parametrize("how", ["file", "override"])
def test_a_list_of_menus_is_merged_in_its_order(config: Path, how: str) -> None:
    """[small, large]: large overrides small, key by key; [large, small]: the reverse."""
    merged = {}
    for order in ("[small, large]", "[large, small]"):
        if how == "file":
            config.write_text(CONFIG.replace("small", order))
        merged[order] = load(Trip, config, [] if how == "file" else [f"wheels={order}"]).wheels
    assert merged == {
        "[small, large]": {"rim": {"inch": 20, "holes": 4}, "tyre": "soft", "spikes": True},
        "[large, small]": {"rim": {"inch": 14, "holes": 4}, "tyre": "soft", "spikes": True},
    }


def test_a_mapping_can_be_given_instead_of_a_menus_member(config: Path) -> None:
    """The file may contain the settings instead of the name of a menu's member."""
    config.write_text(CONFIG.replace("small ", "{rim: 3} "))
    assert load(Trip, config).wheels == {"rim": 3}
    assert load(Trip, config, ["wheels.tyre=hard"]).wheels == {"rim": 3, "tyre": "hard"}


def test_a_value_may_name_another_key(config: Path) -> None:
    """${key} is resolved after the overrides."""
    config.write_text(CONFIG + "stops: [4, '${seed}']\n")
    assert load(Trip, config, ["seed=9"]).stops == (4, 9)


@pytest.mark.parametrize("name", ["tiny", "../trip", "small.yaml", "SMALL"])
@pytest.mark.parametrize("form", ["{}", "[small, {}]"])
def test_an_unknown_member_lists_the_menu(config: Path, name: str, form: str) -> None:
    """The message has the key, the folder, the requested name and the existing ones."""
    message = _refused(config, f"wheels={form.format(name)}")
    assert message == f"wheels={name}: not in {config.parent / 'wheels'}; there are: large, small"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("sed=7", "sed: unknown key; there are: seed, speed, camera, stops, folder, wheels"),
        ("camera.hight=7", "camera.hight: unknown key; there are: width_px, name"),
        ("seed[=7", "seed[: unknown key; there are: seed, speed, camera, stops, folder, wheels"),
        ("seed=many", "seed: must be a whole number, got 'many'"),
        ("seed='1'", "seed: must be a whole number, got '1'"),
        ("seed=1.5", "seed: must be a whole number, got 1.5"),
        ("seed=true", "seed: must be a whole number, got true"),
        ("seed=", "seed: must be a whole number, got null"),
        ("speed=fast", "speed: must be a number, got 'fast'"),
        ("camera.width_px=0", "camera.width_px: must be at least 1, got 0"),
        ("camera=front", "camera: must be a mapping, {key: value}, got 'front'"),
        ("stops=3", "stops: must be a list, got 3; write stops=[3]"),
        ("stops=[1,x]", "stops.1: must be a whole number, got 'x'"),
        ("folder=", "folder: must be a path, got null"),
        ("folder=s3a://bucket/x", "folder: s3a: is not supported yet; use a local folder, or ./s3a://bucket/x for"),
    ],
)
def test_an_invalid_value_is_named_with_its_file_and_key(config: Path, override: str, told: str) -> None:
    """For unknown keys, wrong types and values out of range: file, overrides, key, expected and actual value."""
    message = _refused(config, override)
    assert message.startswith(f"{config} with [{override!r}]:" if "'" in override else f"{config} with ['{override}']:")
    assert f"\n  {told}" in message
    assert len(message.splitlines()) == 2


def test_all_problems_are_reported_at_once(config: Path) -> None:
    """One line for each problem, so that one run suffices to correct a file."""
    config.write_text("sed: 1\ncamera: {width_px: x, hight: 2}\nwheels: small\n")
    told = {line.strip().partition(":")[0] for line in _refused(config).splitlines()[1:]}
    assert told == {"seed", "sed", "camera.width_px", "camera.hight", "folder"}


def test_what_is_missing_is_named(config: Path) -> None:
    """A missing key without a default is named."""
    config.write_text(CONFIG.replace("seed: 1\n", "").replace("width_px", "name").replace("640", "rear"))
    message = _refused(config)
    asked = ("seed: missing; give seed=…", "camera.width_px: missing; give camera.width_px=…")
    assert message == "\n  ".join([f"{config} with no overrides:", *asked])


@pytest.mark.parametrize("override", ["seed", "=7", "==7", "", "--seed", "seed:7"])
def test_an_override_without_key_and_value_is_refused(config: Path, override: str) -> None:
    """The message shows the argument and an example of an override."""
    assert _refused(config, override) == f"{override!r}: expected key=value, e.g. seed=7"


@pytest.mark.parametrize("override", ["stops=[1", "stops={a", 'seed="1', "camera={a: {b}"])
def test_an_override_that_is_not_yaml_is_named(config: Path, override: str) -> None:
    """For example an unclosed bracket."""
    assert repr(override) in _refused(config, override)


@pytest.mark.parametrize(
    "content",
    [
        b"seed: [1",
        b"seed: 1\nseed: 2",
        b"seed: \xff\xfe",
        b"a: b: c",
        b"\tseed: 1",
        b"seed: !!python/object:os.system x",
        b"stops: " + b"[" * 500 + b"]" * 500,
        b"a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
        b"7: seed",
        b"yes: 1",
        b"stops: " + b"[" * 500,
        b"stops: " + b"[" * 100_000,
        b"stops: " + b"{a: " * 100_000,
    ],
)
def test_a_file_that_is_not_yaml_is_named(config: Path, content: bytes) -> None:
    """For brackets, duplicate and non-string keys, bytes that are not text, code and exponential aliases: file and
    reason."""
    config.write_bytes(content)
    assert _refused(config).startswith(f"{config}: not readable as YAML: ")


def test_a_menus_file_that_is_not_yaml_is_named(config: Path) -> None:
    """The message names the menu's file."""
    (config.parent / "wheels" / "small.yaml").write_text("rim: [")
    assert _refused(config).startswith(f"{config.parent / 'wheels' / 'small.yaml'}: not readable as YAML: ")


def test_a_list_where_keys_were_expected_is_named(config: Path) -> None:
    """Valid YAML of the wrong type, in the config and in a menu."""
    (config.parent / "wheels" / "small.yaml").write_text("- 1\n")
    assert _refused(config) == f"{config.parent / 'wheels' / 'small.yaml'}: holds a list, expected key: value lines"
    config.write_text("- 1\n")
    assert _refused(config) == f"{config}: holds a list, expected key: value lines"
    config.write_text("5")
    assert _refused(config).startswith(f"{config}: not readable as YAML: ")


def test_a_missing_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    """The message says what to give instead; a folder is refused too."""
    message = _refused(tmp_path / "no.yaml")
    assert message == f"{tmp_path / 'no.yaml'}: no such file; --config takes a YAML file such as those in conf/"
    assert _refused(tmp_path).startswith(f"{tmp_path}: not readable as YAML: ")


def test_a_required_key_without_a_value_is_asked_for(config: Path) -> None:
    """??? in the config, in a menu and as the menu itself; the message says what to add to the command."""
    config.write_text(CONFIG.replace("640", "'???'"))
    (config.parent / "wheels" / "small.yaml").write_text("rim: ???")
    told = [line.strip() for line in _refused(config).splitlines()[1:]]
    assert told == ["camera.width_px: missing; give camera.width_px=…", "wheels.rim: missing; give wheels.rim=…"]
    assert load(Trip, config, ["camera.width_px=1", "wheels.rim=2"]).wheels == {"rim": 2}
    config.write_text(CONFIG.replace("small", "???"))
    assert _refused(config).endswith("wheels: missing; give wheels=…")


def test_a_reference_to_a_missing_key_is_refused(config: Path) -> None:
    """For ${nowhere} in a nested value, the message has the file and the name."""
    config.write_text(CONFIG.replace("640", "'${nowhere}'"))
    message = _refused(config)
    assert str(config) in message and "nowhere" in message


def test_a_settings_error_has_the_exit_code_of_wrong_usage() -> None:
    """2, as for argparse; other errors that the user can correct have 1."""
    assert (SettingsError.exit_code, RoadsignError.exit_code) == (2, 1)
    assert issubclass(SettingsError, RoadsignError)


@pytest.mark.parametrize(
    ("arguments", "seed", "dry_run"),
    [
        ([], 1, False),
        (["--dry-run"], 1, True),
        (["seed=7"], 7, False),
        (["seed=7", "--dry-run", "camera.width_px=3"], 7, True),
        (["--dry-run", "seed=7", "seed=9"], 9, True),
        (["--config", "OTHER"], 5, False),
        (["seed=7", "--config=OTHER", "--dry-run"], 7, True),
    ],
)
def test_every_job_takes_the_same_three_arguments(config: Path, arguments: list[str], seed: int, dry_run: bool) -> None:
    """[--config FILE] [--dry-run] [key=value …], in any order."""
    other = config.with_name("other.yaml")
    other.write_text(CONFIG.replace("seed: 1", "seed: 5"))
    given = [argument.replace("OTHER", str(other)) for argument in arguments]
    trip, is_dry_run = parse_arguments(Trip, config, "Goes on a trip.", given)
    assert (trip.seed, is_dry_run) == (seed, dry_run)


def test_help_says_what_the_job_does_and_which_config_it_takes(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--help exits with 0 and shows the description, the default config and an example of an override."""
    with pytest.raises(SystemExit) as left:
        parse_arguments(Trip, config, "Goes on a trip.", ["--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    for expected in ("Goes on a trip.", config.name, "--dry-run", "key=value"):
        assert expected in told


def test_an_unknown_option_ends_with_the_exit_code_of_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse_arguments(Trip, config, "Goes on a trip.", ["--config"])
    assert left.value.code == 2
    assert "--config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seed", "7"], "--seed: settings are given without dashes: seed=7"),
        (["--seed=7", "speed=2"], "--seed=7: settings are given without dashes: seed=7"),
        (["-seed", "7"], "-seed: settings are given without dashes: seed=7"),
        (["speed=2", "--width-px", "7"], "--width-px: settings are given without dashes: width_px=7"),
        (["--fast"], "--fast: settings are given without dashes: fast=…"),
        (["--fast", "speed=2"], "--fast: settings are given without dashes: fast=…"),
        (["seed", "7"], "seed: expected key=value: seed=7"),
        (["seed", "=", "7"], "seed: expected key=value: seed=7"),
        (["seed:7"], "seed:7: expected key=value: seed=7"),
        (["seed 7"], "seed 7: expected key=value: seed=7"),
        (["?"], "'?': expected key=value, e.g. seed=7"),
    ],
)
def test_a_setting_in_another_form_is_told_the_right_one(config: Path, arguments: list[str], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_arguments(Trip, config, "", arguments)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a={b:", "1,", "c:", "2}", "d=3"], "a={b:: the shell has split it at its spaces; put it in quotes: '{}'"
         .replace("{}", "a={b: 1, c: 2}")),
        (["seed=1", "s=[28,", "40]"], "s=[28,: the shell has split it at its spaces; put it in quotes: 's=[28, 40]'"),
        (["s=[28,", "seed=1", "40]"], ""),
        (["name=[x"], ""),
        (["name=[x", "--dry-run"], ""),
        (["a={b: {c: 1}}", "s=[1, 2]"], ""),
    ],
)  # fmt: skip
def test_a_value_that_the_shell_has_split_is_told_whole(arguments: list[str], told: str) -> None:
    if not told:
        refuse_split(arguments)
        return
    with pytest.raises(SettingsError) as refused:
        refuse_split(arguments)
    assert str(refused.value) == told


class Sometimes(Settings):
    variants: Literal["all"] | tuple[str, ...] = "all"
    mixture: dict[str, float] = Field(default_factory=dict)
    name: Annotated[str, Field(pattern=r"^\w+$")] = "x"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("variants=clean", "variants: must be all or a list, got 'clean'; write variants=[clean]"),
        ("variants={a: 1}", "variants: must be all or a list"),
        ("mixture=clean:0.5", "mixture: must be a mapping, {key: value}, got 'clean:0.5'; write it in quotes, since "
         "the shell splits {…}: 'mixture={clean: 0.5, …}'"),
        ("mixture={clean:0.5}", "mixture.clean:0.5: must be a number, got null; after a colon YAML needs a space: "
         "'mixture={clean: 0.5}'"),
        ("name=a b", r"name: has characters that are not allowed here (allowed: ^\w+$), got 'a b'"),
    ],
)  # fmt: skip
def test_a_value_of_one_of_several_types_is_told_in_one_sentence(tmp_path: Path, override: str, told: str) -> None:
    (tmp_path / "sometimes.yaml").write_text("variants: all\n")
    with pytest.raises(SettingsError) as refused:
        load(Sometimes, tmp_path / "sometimes.yaml", [override])
    assert str(refused.value).splitlines()[1:] == [f"  {told}"]


def test_no_message_of_the_settings_has_words_of_a_library(config: Path) -> None:
    """Every type of problem that a setting of this project can have is told in own words."""
    for override in (
        "seed=x",
        "seed=1.5",
        "speed=x",
        "stops=3",
        "camera=1",
        "camera={width_px: 0}",
        "folder=",
        "wheels=[3]",
    ):
        assert not re.search(
            "Input|valid|Omega|pydantic|Interpolation|object_type|full_key", _refused(config, override)
        )
    for text in ("seed: ${nowhere}", "camera: [1]", "seed: [1"):
        config.write_text(text)
        assert not re.search("Omega|Interpolation|object_type|full_key|unicode string", _refused(config))


def test_settings_as_yaml_give_the_same_settings_again(config: Path) -> None:
    """The output of a dry run can be saved and used as a config."""
    trip = load(Trip, config, ["wheels=[small, large]", "stops=[7]"])
    saved = config.parent / "elsewhere" / "saved.yaml"
    saved.parent.mkdir()
    saved.write_text(to_yaml(trip))
    assert load(Trip, saved) == trip


def test_a_config_elsewhere_uses_the_menus_of_the_default_config(tmp_path: Path, repository: Path) -> None:
    default = repository / "conf" / "make_noisy_datasets.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(default.read_text().replace("seed: 0", "seed: 7"))
    settings, _ = parse_arguments(NoisyDatasets, default, "", ["--config", str(own), "noise=proposal"])
    assert settings.seed == 7
    assert "blur-max" in settings.noise


class WithText(Settings):
    noise: str
    geometry: dict[str, float | str]


def test_a_text_key_has_no_menu_and_a_mapping_can_replace_a_menu(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("noise: latest\ngeometry: resize\n")
    for menu in ("noise", "geometry"):
        (tmp_path / menu).mkdir()
        (tmp_path / menu / "resize.yaml").write_text("kind: resize\n")
    assert load(WithText, tmp_path / "config.yaml") == WithText(noise="latest", geometry={"kind": "resize"})
    given = load(WithText, tmp_path / "config.yaml", ["noise=other", "geometry={kind: own, amount: 0.5}"])
    assert given == WithText(noise="other", geometry={"kind": "own", "amount": 0.5})


def test_plain_data_as_yaml_is_the_same_data_to_any_reader() -> None:
    values = {"b": [1, 0.5, None, True], "a": {"text": "${a} ??? \\ : # ü", "empty": {}}}
    written = plain_yaml(values)
    assert yaml.safe_load(written) == values
    assert written.startswith("b:")
