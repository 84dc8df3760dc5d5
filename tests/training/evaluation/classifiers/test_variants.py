from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import Small, shown

from pipelines.errors import StreamError
from pipelines.store.schema import MANIFEST_NAME
from pipelines.store.shown import Shown
from training.evaluation.classifiers.variants import in_order, shown_of, variants_of
from training.streams.open_split import open_split
from training.streams.stream import Data

ORDERED = [
    "clean", "blur", "gaussian-min", "gaussian-avg", "gaussian-max", "gaussian-7", "gaussian-50", "salt_pepper-max",
]  # fmt: skip


def test_variants_are_found_on_any_file_system_clean_first(tmp_path: Path) -> None:
    root = Small({"test": [[1]]}, sorted(ORDERED)).write(tmp_path / "here")
    assert variants_of(Data(root=str(root), size_px=4)) == ORDERED
    assert variants_of(Data(root=str(root), size_px=5)) == []
    memory = fsspec.filesystem("memory")
    memory.put(str(root), "/evaluated", recursive=True)
    try:
        assert variants_of(Data(root="memory://evaluated", size_px=4)) == ORDERED
    finally:
        memory.rm("/evaluated", recursive=True)
    with pytest.raises(StreamError, match="cannot be opened"):
        variants_of(Data(root="nothing://here", size_px=4))


@given(st.permutations(ORDERED))
def test_the_order_does_not_depend_on_the_listing(listed: list[str]) -> None:
    assert in_order([shown(name) for name in (*listed, *listed)]) == [shown(name) for name in ORDERED]


def test_variants_are_ordered_by_their_manifests_not_by_their_names(tmp_path: Path) -> None:
    recorded = {
        "a": Shown("gaussian", "max"),
        "b": Shown(),
        "clean": Shown("blur", "50"),
        "c-d": Shown("gaussian", "min"),
    }
    for name, one in recorded.items():
        Small({"test": [[1]]}, (name,), fingerprint=one.facts).write(tmp_path)
    assert variants_of(Data(root=str(tmp_path), size_px=4)) == ["b", "clean", "c-d", "a"]


def test_the_manifest_decides_which_variant_is_generated_not_its_name(tmp_path: Path) -> None:
    """A generated variant without images of the split is not listed; one with images of it is, and so is any other."""
    Small({"test": [[1]]}, ("clean",)).write(tmp_path)
    Small({"train": [[1]]}, ("gan-named", "signs")).write(tmp_path)
    Small({"train": [[1]]}, ("painted",), fingerprint={"generated": "0"}).write(tmp_path)
    assert variants_of(Data(root=str(tmp_path), size_px=4), "test") == ["clean", "gan-named", "signs"]
    assert variants_of(Data(root=str(tmp_path), size_px=4), "train") == ["clean", "gan-named", "painted", "signs"]


def test_a_variant_whose_manifest_is_broken_is_listed_so_that_opening_it_says_why(tmp_path: Path) -> None:
    root = Small({"test": [[1]]}, ("clean", "gaussian-max")).write(tmp_path)
    (root / "geometry=crop_or_pad/size_px=4/variant=gaussian-max" / MANIFEST_NAME).write_text("{")
    assert variants_of(Data(root=str(root), size_px=4)) == ["clean", "gaussian-max"]


def test_a_manifest_that_does_not_say_how_its_variant_is_shown_is_refused(tmp_path: Path) -> None:
    root = Small({"test": [[1]]}, ("clean",), fingerprint={"shown_level": None}).write(tmp_path)
    opened = open_split(str(root), "crop_or_pad", 4, ["clean"], "test").variants["clean"]
    with pytest.raises(StreamError, match=r"variant=clean: its manifest does not say how it is shown; .*make it again"):
        shown_of(opened)
