from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import Small

from pipelines.errors import StreamError
from training.evaluation.classifiers.variants import in_order, noise_and_level, variant_name, variants_of
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
def test_the_order_does_not_depend_on_how_they_were_listed(listed: list[str]) -> None:
    assert in_order(listed) == ORDERED


@pytest.mark.parametrize(
    ("variant", "noise", "level"),
    [("clean", "none", "none"), ("salt_pepper-max", "salt_pepper", "max"), ("blur", "blur", "none")],
)
def test_a_variants_name_says_noise_and_level(variant: str, noise: str, level: str) -> None:
    assert noise_and_level(variant) == (noise, level)
    assert variant_name(noise, level) == variant
