"""Text in a settings file or after the = of an override is taken literally."""

import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from pipelines.errors import SettingsError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import LocalPath, PathOrName, Settings, load, to_yaml

CONF = Path(__file__).parents[2] / "conf"
HOSTILE = (
    "/x/run #2", "1E234", "1e5", "yes", "no", "on", "off", "true", "null", "~x", "0x10", "0o7", "1:30", "1_000", "2024",
    "2024-01-01", ".inf", "[old]", "[/red]", "{a: b}", "${oc.env:HOME}", "${count}", "$${x}", "???", "'quoted'", '"q"',
    "a=b", " blanks ", "- a", "*a", "&a", "!!str a", "a: b", "|", ">", "%41", "Übersicht", "🚗", "\\", "\t", "\x85",
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


class Inner(Settings):
    place: LocalPath
    name: str


class Outer(Settings):
    """Every declared form of text, and other types."""

    name: str
    perhaps: str | None = None
    place: LocalPath = Path("here")
    perhaps_place: LocalPath | None = None
    mode: Literal["yes", "1E3", "null"] = "yes"
    bounded: Annotated[str, Field(min_length=1)] | None = None
    reference: PathOrName = "latest"
    names: tuple[str, ...] = ()
    all_or_some: Literal["all"] | tuple[str, ...] = "all"
    inner: Inner | None = None
    inners: dict[str, Inner] | None = None
    count: int | None = None
    ratio: float = 1.0
    flag: bool = False


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conf") / "outer.yaml"
    path.write_text("name: x\ninner: {place: here, name: y}\n")
    return path


def value_of(config: Path, override: str, key: str) -> object:
    found: object = load(Outer, config, [override])
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def is_plain_path(text: str) -> bool:
    """False for special forms of paths: ~ for home, NUL, file:/ and other schemes."""
    return "\0" not in text and not text.startswith("~") and ":/" not in text


@pytest.mark.parametrize("key", ["name", "inner.name"])
def test_text_in_names_is_taken_literally(config: Path, key: str) -> None:
    for text in HOSTILE:
        assert value_of(config, f"{key}={text}", key) == text


@pytest.mark.parametrize("key", ["place", "perhaps_place", "inner.place"])
def test_text_in_paths_is_taken_literally(config: Path, key: str) -> None:
    for text in filter(is_plain_path, HOSTILE):
        expected = None if (key, text) == ("perhaps_place", "null") else Path(text)
        assert value_of(config, f"{key}={text}", key) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(text=TEXT)
@example("${${a}:b}")
@example("$$${")
@example("\\${")
@example("\\\\???")
def test_any_text_comes_through_names_and_paths_silently_unchanged(config: Path, text: str) -> None:
    """By an override, by a YAML file written by another library, and by this project's own YAML."""
    overrides = [f"name={text}", f"inner.name={text}", f"perhaps=x{text}"]
    if is_plain_path(text):
        overrides.append(f"place={text}")
    found = load(Outer, config, overrides)
    assert found.inner is not None
    assert (found.name, found.inner.name, found.perhaps) == (text, text, f"x{text}")
    assert found.place == (Path(text) if is_plain_path(text) else Path("here"))
    again = config.with_name("again.yaml")
    again.write_bytes(to_yaml(found).encode())
    assert load(Outer, again) == found
    if "${" not in text and not text.endswith("???"):
        again.write_bytes(yaml.safe_dump({"name": text, "names": [text]}, default_style='"').encode())
        assert load(Outer, again) == Outer(name=text, names=(text,))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("perhaps=null", None), ("perhaps=", None), ("name=null", "null"), ("mode=null", "null"), ("mode=1E3", "1E3"),
        ("bounded=null", None), ("bounded=0x10", "0x10"), ("count=null", None), ("count=~", None), ("count=0x10", 16),
        ("ratio=1E3", 1000.0), ("ratio=2", 2.0), ("flag=true", True), ("count=7  # seven", 7),
        ("names=['a #b', \"null\"]", ("a #b", "null")), ("all_or_some=all", "all"),
        ("inners={a: {place: 0x1/a, name: 'yes'}}", {"a": Inner(place=Path("0x1/a"), name="yes")}),
    ],
)  # fmt: skip
def test_only_values_of_other_types_are_parsed(config: Path, override: str, expected: object) -> None:
    assert value_of(config, override, override.partition("=")[0]) == expected


@pytest.mark.parametrize("text", ["yes", "off", "1:30", "0x10", "010", "1_000", "2024", "1E234", ".inf"])
@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("name: {}", "name"), ("name: x\nperhaps: {}", "perhaps"), ("name: x\nplace: {}", "place"),
        ("name: x\nmode: {}", "mode"), ("name: x\nreference: {}", "reference"), ("name: x\nnames: [{}]", "names.0"),
        ("name: x\ninner: {{place: x, name: {}}}", "inner.name"),
    ],
)  # fmt: skip
def test_text_that_yaml_reads_as_another_type_is_never_converted_silently(
    tmp_path: Path, text: str, line: str, key: str
) -> None:
    """The message says how YAML reads the text and what to write instead, and that form works."""
    (tmp_path / "a.yaml").write_text(line.format(text))
    with pytest.raises(SettingsError, match=rf" {key}: must be .*, got .*; for text write it in quotes"):
        load(Outer, tmp_path / "a.yaml")
    if key != "mode":
        (tmp_path / "a.yaml").write_text(line.format(f"'{text}'"))
        assert text in str(load(Outer, tmp_path / "a.yaml"))


def test_a_list_behind_the_equals_sign_has_the_rules_of_a_file(config: Path) -> None:
    with pytest.raises(SettingsError, match=r"names.1: .*, got 90; for text write it in quotes"):
        load(Outer, config, ["names=[a, 1:30]"])


@pytest.mark.parametrize(
    "outside", ["oc.env:HOME", "oc.env:ROADSIGN,x", "oc.decode:1", "oc.select:name", "${name}:x", "${name}"]
)
def test_nothing_outside_the_settings_can_be_referenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: str
) -> None:
    monkeypatch.setenv("ROADSIGN", "secret")
    (tmp_path / "a.yaml").write_text(f"name: oc.env\nplace: '${{{outside}}}'\n")
    with pytest.raises(SettingsError, match="nothing outside of the settings can be named") as refused:
        load(Outer, tmp_path / "a.yaml")
    assert "secret" not in str(refused.value) and os.environ["HOME"] not in str(refused.value)


@pytest.mark.parametrize(
    "override", ["count=${oc.env:HOME}", "inners={a: '${oc.env:HOME}'}", "names=['${oc.env:HOME}']"]
)
def test_no_override_can_reference_anything_outside_the_settings(config: Path, override: str) -> None:
    with pytest.raises(SettingsError, match="nothing outside of the settings can be named") as refused:
        load(Outer, config, [override])
    assert os.environ["HOME"] not in str(refused.value)


def test_a_backslash_escapes_a_reference(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: 'a\\${oc.env:HOME}'\nperhaps: \\???\nreference: 'b\\\\${mode}'\nmode: 'yes'\n"
    )
    found = load(Outer, tmp_path / "a.yaml")
    assert (found.name, found.perhaps, found.reference) == ("a${oc.env:HOME}", "???", "b\\yes")


def test_a_key_can_be_referenced_alone_or_in_text_but_not_in_a_cycle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: a\nperhaps: ${inner.name}\ninner: {place: '${name}/${count}', name: b}\ncount: 3\n"
    )
    found = load(Outer, tmp_path / "a.yaml", ["name=c d"])
    assert (found.perhaps, found.inner) == ("b", Inner(place=Path("c d/3"), name="b"))
    (tmp_path / "a.yaml").write_text("name: ${perhaps}\nperhaps: ${name}\n")
    with pytest.raises(SettingsError, match="Recursive interpolation"):
        load(Outer, tmp_path / "a.yaml")


@pytest.mark.parametrize("depth", [250, 500])
def test_deep_nesting_is_a_settings_error(config: Path, depth: int) -> None:
    for text in ("[" * depth, "[" * depth + "]" * depth, "{a: " * depth + "}" * depth):
        with pytest.raises(SettingsError):
            load(Outer, config, [f"count={text}"])


def test_bytes_that_are_not_text_are_named(config: Path) -> None:
    with pytest.raises(SettingsError, match=r"x\\udcdf': is not UTF-8"):
        load(Outer, config, ["name=x\udcdf"])


def test_the_plan_names_the_folder_as_typed() -> None:
    found = load(
        NoisyDatasets,
        CONF / "make_noisy_datasets.yaml",
        ["output_root=/x/run #2", "dataset.kind=gtsrb", "dataset.root=1E234 #1"],
    )
    assert (found.output_root, found.dataset.root) == (Path("/x/run #2"), Path("1E234 #1"))
