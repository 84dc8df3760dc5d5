"""What is said of the variants of a run, beside data sets that lie there."""

import json
from pathlib import Path

import pytest
from small_datasets import Small

from pipelines.store.schema import MANIFEST_NAME, Cell
from training.lineage.datasets import data_links
from training.tracking import RecordedRun, UsedVariant

CLEAN = Cell("crop_or_pad", 4, "clean")


def used(root: Path, images: int) -> UsedVariant:
    folder = CLEAN.folder(Small({"train": [[images]]}).write(root))
    digest = json.loads((folder / MANIFEST_NAME).read_text())["content_digest"]
    return UsedVariant("clean", "train", digest, str(folder), "")


def run(*variants: UsedVariant) -> RecordedRun:
    return RecordedRun("r", "r", "FINISHED", "", "", variants)


def states(found: RecordedRun, datasets: dict[str, str], root: str | None = None) -> list[str]:
    return [link.state for link in data_links(found, {"datasets": datasets}, root) if link.place == "variant"]


def test_a_data_set_beside_is_compared_with_its_own_digest(tmp_path: Path) -> None:
    one, beside = used(tmp_path / "one", 4), used(tmp_path / "beside", 7)
    digests = {"clean": one.digest, "beside/clean": beside.digest}
    assert states(run(one, beside), digests) == ["known", "known"]
    assert states(run(one, beside), digests, root=str(tmp_path / "one")) == ["known", "known"]


@pytest.mark.parametrize("name", ["clean", "beside/clean"])
def test_a_digest_that_the_checkpoint_does_not_have_breaks_the_chain(tmp_path: Path, name: str) -> None:
    one, beside = used(tmp_path / "one", 4), used(tmp_path / "beside", 7)
    digests = {"clean": one.digest, "beside/clean": beside.digest, name: "f" * 64}
    assert sorted(states(run(one, beside), digests)) == ["broken", "known"]
