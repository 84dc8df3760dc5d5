"""The file of recovered groups: what is written is read, and damaged or other files are refused by name."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import StoreError
from pipelines.store import recovered_groups
from pipelines.store.recovered_groups import Agreement, RecoveredGroups

ROWS = [("test/00000", 14, "recovered/00014/000"), ("test/00002", 3, "recovered/00003/000")]
MEASURED = Agreement(precision=0.99, recall=0.98, purity=0.995, exact=2, groups=3, images=90)


def made(rows: list[tuple[str, int, str]] = ROWS, source_digest: str = "0123") -> RecoveredGroups:
    return RecoveredGroups.of(rows, "gtsrb", source_digest, MEASURED, "", {"code": "v1"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made().write(tmp_path / "groups" / "test.parquet")
    return tmp_path / "groups" / "test.parquet"


@settings(max_examples=25, derandomize=True, deadline=None)
@given(
    groups=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.tuples(st.integers(0, 42), st.text("ab/0"))
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, groups: dict[str, tuple[int, str]]) -> None:
    rows = [(image_id, label, group) for image_id, (label, group) in groups.items()]
    path = tmp_path_factory.mktemp("groups") / "test.parquet"
    made(rows).write(path)
    read = recovered_groups.read(path)
    assert read == made(rows)
    assert list(read.groups) == sorted(groups)


def test_the_file_is_plain_parquet_for_others(path: Path) -> None:
    table = pq.read_table(path)
    assert table.to_pydict() == {
        "image_id": ["test/00000", "test/00002"],
        "label": [14, 3],
        "group": ["recovered/00014/000", "recovered/00003/000"],
    }
    assert [entry.name for entry in path.parent.iterdir()] == ["test.parquet"]


def test_the_digest_is_of_groups_and_source_and_not_of_the_order() -> None:
    assert made().digest == made(ROWS[::-1]).digest
    regrouped = [ROWS[0], ("test/00002", 3, "recovered/00003/001")]
    assert len({made().digest, made(regrouped).digest, made(source_digest="4567").digest}) == 3


def test_groups_of_images_are_refused_where_image_or_label_is_another() -> None:
    groups = made()
    assert groups.of_images(["test/00002", "test/00000"], [3, 14]) == ["recovered/00003/000", "recovered/00014/000"]
    with pytest.raises(StoreError, match="test/00001 has no recovered group"):
        groups.of_images(["test/00000", "test/00001"], [14, 14])
    with pytest.raises(StoreError, match=r"test/00002 has label 4.*one of label 3"):
        groups.of_images(["test/00002"], [4])


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"test/00002") + 9] ^= 1
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced(path: Path) -> None:
    pq.write_table(pa.table({"image_id": ["test/00000"]}), path)


def regrouped(path: Path) -> None:
    """As a careful hand would: all but the digest agrees."""
    table = pq.read_table(path)
    groups = pa.array(["recovered/00014/001", "recovered/00003/000"])
    pq.write_table(table.set_column(2, table.schema.field("group"), groups), path)


def doubled(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def of_another_version(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({recovered_groups.KEY: b'{"digest": "00"}'}), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "does not exist"),
        (shortened, "not readable"),
        (flipped, "not readable|not in order|not those of its digest"),
        (emptied, "not readable"),
        (replaced, "contains no recovered groups"),
        (regrouped, "not those of its digest"),
        (doubled, "occurs twice"),
        (of_another_version, "not readable.*dataset"),
    ],
)
def test_missing_damaged_and_other_files_are_refused(path: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(path)
    with pytest.raises(StoreError, match=said) as refused:
        recovered_groups.read(path)
    assert str(path) in str(refused.value)
    assert "recover_tracks.py" in str(refused.value)


def test_a_file_that_cannot_be_written_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space"):
        made(source_digest="4567").write(path)
    assert recovered_groups.read(path) == made()
    assert [entry.name for entry in path.parent.iterdir()] == ["test.parquet"]
