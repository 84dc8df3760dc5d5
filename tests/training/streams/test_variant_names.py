from pathlib import Path

import pytest
from fsspec import filesystem

from pipelines.errors import StreamError
from pipelines.store.schema import Cell
from training.streams.variant_names import find_cell, names_meant, names_of, without_network

FIRST, SECOND = "0123456789ab", "01ff56789abc"
LOCAL = filesystem("file")


@pytest.fixture
def root(tmp_path: Path) -> str:
    for variant, networks in {"clean": [], "fgsm-snr33": [FIRST, SECOND], "fgsm-snr50": [FIRST]}.items():
        folder = Cell("crop_or_pad", 8, variant).folder(tmp_path)
        for path in [folder / f"attacked={network}" for network in networks] or [folder / "split=test"]:
            path.mkdir(parents=True)
    return str(tmp_path)


def found(root: str, name: str) -> Cell:
    return find_cell(LOCAL, root, "crop_or_pad", 8, name)


def test_the_network_need_not_be_named_where_there_is_one(root: str) -> None:
    assert found(root, "clean") == Cell("crop_or_pad", 8, "clean")
    assert found(root, "fgsm-snr50") == Cell("crop_or_pad", 8, "fgsm-snr50", FIRST)
    assert found(root, "fgsm-snr33/attacked=01f") == Cell("crop_or_pad", 8, "fgsm-snr33", SECOND)
    assert found(root, f"fgsm-snr33/attacked={FIRST}cdef") == Cell("crop_or_pad", 8, "fgsm-snr33", FIRST)
    assert found(root, "deepfool") == Cell("crop_or_pad", 8, "deepfool")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fgsm-snr33", "several networks were attacked"),
        ("fgsm-snr33/attacked=01", "several networks were attacked"),
        ("fgsm-snr33/attacked=02", "no such attacked network"),
    ],
)
def test_ambiguous_names_are_listed(root: str, name: str, message: str) -> None:
    there = f"fgsm-snr33/attacked={FIRST}, fgsm-snr33/attacked={SECOND}"
    with pytest.raises(StreamError, match=rf"{message} at crop_or_pad, 8 px; name one of: {there}"):
        found(root, name)


def test_names_round_trip(root: str) -> None:
    names = names_of(LOCAL, root, Cell("crop_or_pad", 8, "fgsm-snr33"))
    assert names == [f"fgsm-snr33/attacked={FIRST}", f"fgsm-snr33/attacked={SECOND}"]
    assert {without_network(name) for name in names} == {"fgsm-snr33"}
    assert names_of(LOCAL, root, Cell("crop_or_pad", 8, "clean")) == ["clean"]
    (Path(root) / "geometry=crop_or_pad/size_px=8/variant=empty").mkdir()
    assert names_of(LOCAL, root, Cell("crop_or_pad", 8, "empty")) == []
    assert names_meant("fgsm-snr33", ["clean", *names, "fgsm-snr333/attacked=01"]) == names
    assert names_meant("fgsm-snr33/attacked=01f", names) == names[1:]
    assert names_meant("fgsm", names) == []
