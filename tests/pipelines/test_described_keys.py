"""--help: every key of every job, with the texts of the YAML."""

from pathlib import Path

import pytest
from pydantic import Field

from pipelines.described_keys import describe_keys
from pipelines.settings import Settings
from pipelines.yaml_lines import YamlLine, read_lines


class Camera(Settings):
    width_px: int = Field(ge=1)
    angle_deg: float = Field(default=0.0, gt=-90, lt=90)


class Trip(Settings):
    camera: Camera
    stops: tuple[int, ...] | None
    folder: Path
    slow: bool = False


CONFIG = """\
# python jobs/trip.py
# Goes on a trip.
camera:
  width_px: 640           # of the sensor
stops: [1, 2]             # in their order, each
                          # of them once
folder: "a # b"           # made if it is missing
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "trip.yaml").write_text(CONFIG)
    return tmp_path / "trip.yaml"


def test_lines_have_their_comments(config: Path) -> None:
    assert read_lines(config) == [
        YamlLine("camera", None, ""),
        YamlLine("camera.width_px", "640", "of the sensor"),
        YamlLine("stops", "[1, 2]", "in their order, each of them once"),
        YamlLine("folder", '"a # b"', "made if it is missing"),
    ]


def test_a_key_has_default_type_bounds_unit_and_comment(config: Path) -> None:
    assert describe_keys(Trip, config).splitlines() == [
        "settings with their defaults:",
        "  camera.width_px=640",
        "      (integer ≥ 1, pixels) of the sensor",
        "  stops=[1, 2]",
        "      (list of integer or null) in their order, each of them once",
        '  folder="a # b"',
        "      (path) made if it is missing",
        "  camera.angle_deg=0.0",
        "      (number > -90 and < 90, degrees)",
        "  slow=false",
        "      (true or false)",
    ]


def test_every_line_of_the_settings_files_is_read(repository: Path) -> None:
    for config in (repository / "conf").glob("*.yaml"):
        keys = [line for line in config.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
        blocks = [line for line in keys if not line.strip().startswith("- ")]
        assert len(read_lines(config)) == len(blocks), config
