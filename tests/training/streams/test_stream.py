"""Streams: each image once per epoch, a reproducible order, and nothing that differs from the manifest."""

import itertools
import random
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_gtsrb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import SparkSession
from rich.console import Console
from small_datasets import Small

from pipelines.errors import StreamError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import MANIFEST_NAME
from training.streams.petastorm_bridge import GuardedDummyPool
from training.streams.row_groups import OrderedReader, TableWorker
from training.streams.stream import Batch, Batches, CachedStream, Data, open_stream, to_unit_floats

CPU = torch.device("cpu")
VARIANTS = ("clean", "gaussian-max", "gaussian-min")
SMALL = Small({"train": [[5, 5, 2], [5, 4]], "validation": [[3]], "test": [[1]]}, VARIANTS)
LARGE = Small({"train": [[4] * 10] * 5 + [[4, 3]]}, VARIANTS)
FLOATS = Small({"train": [[5, 5], [3]]}, VARIANTS, pixel_dtype="float32")
ANY = {"small": SMALL, "large": LARGE, "floats": FLOATS}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: small.write(tmp_path_factory.mktemp(name)) for name, small in ANY.items()}


@pytest.fixture
def copy(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of `small` that a test may damage."""
    return Path(shutil.copytree(roots["small"], tmp_path / "copy"))


def variant_folder(root: Path, variant: str = "clean") -> Path:
    return root / "geometry=crop_or_pad" / "size_px=4" / f"variant={variant}"


def opened(root: Path | str, split: Any = "train", batch_size: int = 4, seed: int = 0, **others: Any) -> Batches:
    """Opens a stream; `others` are keys of Data or arguments of open_stream."""
    data = Data(root=str(root), size_px=4, **{key: others.pop(key) for key in list(others) if key in Data.model_fields})
    return open_stream(data, split, seed=seed, batch_size=batch_size, **others)


def as_text(batch: Batch) -> list[tuple[str, int, bytes, bool]]:
    """The values of a batch as text."""
    pixels = batch.images.permute(0, 2, 3, 1).numpy()
    labels, valid = batch.labels.tolist(), batch.valid.tolist()
    return list(zip(batch.image_ids, labels, map(np.ndarray.tobytes, pixels), valid, strict=True))


def epoch_of(stream: Batches, epoch: int = 0, start_step: int = 0) -> list[list[tuple[str, int, bytes, bool]]]:
    return [as_text(batch) for batch in stream.epoch(epoch, start_step)]


def valid_ids(batches: list[list[tuple[str, int, bytes, bool]]]) -> list[str]:
    return [image_id for batch in batches for image_id, _, _, valid in batch if valid]


def read_plainly(root: Path, variant: str, split: str) -> dict[str, tuple[int, bytes]]:
    """(label, image) by image_id, read with pyarrow."""
    rows = pq.read_table(variant_folder(root, variant) / f"split={split}").to_pylist()
    return {row["image_id"]: (row["label"], row["image"]) for row in rows}


@dataclass(frozen=True)
class Situation:
    """A way to read one epoch, which must not change its content."""

    name: str
    pool: str
    workers: int
    world_size: int
    batch_size: int
    epoch: int
    facts: dict[str, Any]
    resumed: float


SITUATIONS = st.builds(
    Situation,
    name=st.sampled_from(sorted(ANY)),
    pool=st.sampled_from(["thread", "dummy"]),
    workers=st.integers(1, 4),
    world_size=st.integers(1, 4),
    batch_size=st.integers(1, 40),
    epoch=st.integers(0, 5),
    facts=st.fixed_dictionaries(
        {
            "seed": st.integers(0, 2**63),
            "window_row_groups": st.integers(1, 12),
            "mixture": st.sampled_from([{"clean": 1.0}, {"clean": 0.5, "gaussian-max": 0.3, "gaussian-min": 0.2}]),
            "cache": st.sampled_from(["none", "none", "host", "device"]),
        }
    ),
    resumed=st.floats(0, 1),
)


def check(roots: dict[str, Path], case: Situation) -> None:
    """All ranks together see each row once, in an order determined by the seed; each can resume within an epoch."""
    root, world_size, batch_size = roots[case.name], case.world_size, case.batch_size
    doing = {"pool": case.pool, "workers": case.workers, "world_size": world_size, "batch_size": batch_size}
    ranks = [opened(root, rank=rank, **doing, **case.facts) for rank in range(world_size)]
    epochs = [epoch_of(rank, case.epoch) for rank in ranks]
    assert {len(batches) for batches in epochs} == {len(rank) for rank in ranks} == {len(ranks[0])}
    assert {len(batch) for batches in epochs for batch in batches} == {batch_size}
    together = [list(itertools.chain(*parts)) for parts in zip(*epochs, strict=True)]
    assert sorted(valid_ids(together)) == [f"train/{row:05d}" for row in range(ANY[case.name].count("train"))]

    alone = opened(root, batch_size=batch_size * world_size, **case.facts)
    assert epoch_of(alone, case.epoch) == together
    step = round(case.resumed * len(alone))
    assert epoch_of(alone, case.epoch, start_step=step) == together[step:]


@settings(max_examples=20, deadline=None)
@given(case=SITUATIONS)
def test_every_row_comes_once_in_the_same_order_whatever_does_the_work(roots: dict[str, Path], case: Situation) -> None:
    check(roots, case)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(case=SITUATIONS)
def test_every_row_comes_once_in_many_more_situations(roots: dict[str, Path], case: Situation) -> None:
    check(roots, case)


@pytest.mark.parametrize("cache", ["none", "host", "device"])
def test_epochs_and_seeds_differ_and_each_repeats(roots: dict[str, Path], cache: str) -> None:
    orders = [
        tuple(valid_ids(epoch_of(opened(roots["large"], seed=seed, cache=cache), epoch)))
        for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 0)]
    ]
    assert len(set(orders)) == 3
    assert orders[0] == orders[3]
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}


@pytest.mark.parametrize("cache", ["none", "host"])
@pytest.mark.parametrize("name", ["small", "floats"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_pixels_and_labels_are_those_that_plain_pyarrow_reads(
    roots: dict[str, Path], name: str, variant: str, cache: str
) -> None:
    plain = read_plainly(roots[name], variant, "train")
    stream = opened(roots[name], mixture={variant: 1.0}, cache=cache, window_row_groups=2)
    for batch in stream.epoch(0):
        assert batch.images.dtype == (torch.float32 if name == "floats" else torch.uint8)
        assert batch.images.shape == (4, 3, 4, 4)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.labels.dtype, batch.valid.dtype) == (torch.int64, torch.bool)
    for image_id, label, image, _ in itertools.chain(*epoch_of(stream, 0)):
        assert (label, image) == plain[image_id]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_each_split_has_its_own_rows(roots: dict[str, Path], split: str) -> None:
    found = valid_ids(epoch_of(opened(roots["small"], split)))
    assert sorted(found) == sorted(read_plainly(roots["small"], "clean", split))


@pytest.mark.parametrize("cache", ["none", "host"])
def test_a_mixture_shows_each_image_once_in_variants_by_weight(roots: dict[str, Path], cache: str) -> None:
    mixture = {"clean": 0.5, "gaussian-max": 0.25, "gaussian-min": 0.25}
    stream = opened(roots["large"], mixture=mixture, cache=cache)
    plain = {variant: read_plainly(roots["large"], variant, "train") for variant in VARIANTS}
    shown = []
    for epoch in range(3):
        rows = [row for batch in epoch_of(stream, epoch) for row in batch if row[3]]
        assert sorted(row[0] for row in rows) == sorted(plain["clean"])
        variants = {
            image_id: next(variant for variant in VARIANTS if plain[variant][image_id][1] == image)
            for image_id, _, image, _ in rows
        }
        counts = Counter(variants.values())
        assert all(abs(counts[variant] - weight * len(rows)) <= 5 for variant, weight in mixture.items())
        shown.append(tuple(sorted(variants.items())))
    assert len(set(shown)) == 3


@pytest.mark.parametrize("cache", ["none", "host"])
def test_the_order_of_a_mixtures_keys_does_not_matter(roots: dict[str, Path], cache: str) -> None:
    mixture = {"clean": 0.5, "gaussian-max": 0.5}
    one, other = ({"mixture": dict(items), "cache": cache} for items in (mixture.items(), reversed(mixture.items())))
    assert epoch_of(opened(roots["small"], **one)) == epoch_of(opened(roots["small"], **other))


def test_padding_repeats_rows_of_the_last_batch_and_is_marked(roots: dict[str, Path]) -> None:
    (*_, last) = epoch_of(opened(roots["small"], batch_size=8))
    assert [row[3] for row in last] == [True] * 5 + [False] * 3
    assert [row[:3] for row in last[5:]] == [row[:3] for row in last[:3]]


def test_a_step_beyond_the_epoch_is_refused(roots: dict[str, Path]) -> None:
    stream = opened(roots["small"])
    assert epoch_of(stream, start_step=len(stream)) == []
    with pytest.raises(ValueError, match="an epoch has 6 steps"):
        stream.epoch(0, start_step=7)


def test_global_random_numbers_are_not_used(roots: dict[str, Path]) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()  # noqa: NPY002
    epoch_of(opened(roots["small"]))
    epoch_of(opened(roots["small"], cache="host"))
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()  # noqa: NPY002
    assert before == after


def test_petastorm_itself_reads_in_the_order_that_is_asked_for(roots: dict[str, Path]) -> None:
    """Sorting the results would hide a wrong order, and would need the whole data set in memory."""
    source = opened(roots["large"]).source
    groups = list(reversed(source.variants["clean"].row_groups))
    with OrderedReader(source.opener, groups, GuardedDummyPool(), ahead=3) as reader:
        assert [came for came, _ in reader] == reader.indexes == list(reversed(range(len(groups))))


def test_an_epoch_left_early_leaves_no_threads(roots: dict[str, Path]) -> None:
    before = threading.active_count()
    for _ in range(5):
        epoch = opened(roots["large"], workers=3).epoch(0)
        next(epoch)
        assert isinstance(epoch, Iterator)
        epoch.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_epoch_interrupted_in_a_loop_leaves_no_threads(roots: dict[str, Path]) -> None:
    before = threading.active_count()
    for _ in opened(roots["large"], workers=3).epoch(0):
        break
    assert threading.active_count() == before


def test_batches_do_not_change_while_epochs_continue(roots: dict[str, Path]) -> None:
    """Even if two epochs of one stream and another stream are read alternately, since windows reuse memory."""
    train, validation = opened(roots["large"], window_row_groups=2), opened(roots["small"], "validation")
    kept = []
    for one, other in zip(train.epoch(0), train.epoch(1), strict=True):
        kept += [one, other, *validation.epoch(0)]
    plain = read_plainly(roots["large"], "clean", "train") | read_plainly(roots["small"], "clean", "validation")
    for image_id, label, image, _ in itertools.chain(*map(as_text, kept)):
        assert (label, image) == plain[image_id]
    assert Counter(valid_ids([as_text(batch) for batch in kept])) == {
        **dict.fromkeys(read_plainly(roots["large"], "clean", "train"), 2),
        **dict.fromkeys(read_plainly(roots["small"], "clean", "validation"), len(train)),
    }


def test_uint8_becomes_unit_floats_and_floats_stay(roots: dict[str, Path]) -> None:
    (batch, *_) = opened(roots["small"]).epoch(0)
    floats = to_unit_floats(batch.images, CPU)
    assert floats.dtype == torch.float32
    assert torch.equal(floats, batch.images.to(torch.float32) / 255)
    (batch, *_) = opened(roots["floats"]).epoch(0)
    assert torch.equal(to_unit_floats(batch.images, CPU), batch.images)


@pytest.mark.parametrize("workers", [1, 3])
def test_other_file_systems_are_read(roots: dict[str, Path], workers: int) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(roots["large"]), "/large", recursive=True)
    there = opened("memory://large", workers=workers, verify=True)
    assert epoch_of(there) == epoch_of(opened(roots["large"]))


# what is refused


def test_a_missing_variant_names_the_job_and_what_is_there(copy: Path) -> None:
    with pytest.raises(
        StreamError, match=r"variants there: clean, gaussian-max, gaussian-min.*make_noisy_datasets\.py"
    ):
        opened(copy, mixture={"blur-max": 1.0})
    with pytest.raises(StreamError, match=r"nowhere: no such dataset; .*make_noisy_datasets\.py"):
        opened(copy / "nowhere")


def test_an_unknown_file_system_is_refused() -> None:
    with pytest.raises(StreamError, match="nosuch"):
        opened("nosuch://bucket")


def test_an_unknown_and_an_empty_split_are_refused(tmp_path: Path) -> None:
    root = Small({"train": [[3]], "test": []}).write(tmp_path)
    with pytest.raises(StreamError, match="there are train, validation, test"):
        opened(root, "holdout")
    for split in ("test", "validation"):
        with pytest.raises(StreamError, match=f"split {split} has no images; splits with images: train"):
            opened(root, split)


def test_the_remedy_for_an_empty_validation_split_names_the_setting(tmp_path: Path) -> None:
    """If no class has a track to spare, the message names the setting that decides."""
    root = Small({"train": [[3]]}, fingerprint={"splits": ["train", "validation"]}).write(tmp_path)
    with pytest.raises(
        StreamError, match=r"or make the dataset of more images; .*make_noisy_.* validation_fraction=0\.2"
    ):
        opened(root, "validation")
    with pytest.raises(StreamError, match=r"or make the dataset with it: "):
        opened(root, "test")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert len(re.findall(old, text)) >= 1
    path.write_text(re.sub(old, new, text, count=1))


def rewrite(path: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrites a file with other content, and its manifest with the new size."""
    before = path.stat().st_size
    pq.write_table(edit(pq.ParquetFile(path).read()), path, row_group_size=5)
    manifest = path.parents[1] / MANIFEST_NAME
    change(manifest, f'"bytes":{before}', f'"bytes":{path.stat().st_size}')


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST_NAME).unlink(), "no manifest"),
    "half a manifest": (lambda folder: change(folder / MANIFEST_NAME, r"(?s)\},.*", ""), "not a manifest"),
    "file missing": (lambda folder: (folder / "split=test/part-00000.parquet").unlink(), "is missing"),
    "file cut": (
        lambda folder: (folder / "split=train/part-00001.parquet").write_bytes(b"PAR1"),
        r"part-00001\.parquet: has 4 bytes, but the manifest says \d+",
    ),
    "file added": (
        lambda folder: shutil.copy(folder / "split=test/part-00000.parquet", folder / "split=test/copy.parquet"),
        r"copy\.parquet: not in the folder's manifest",
    ),
    "pickle": (lambda folder: (folder / "split=train/_common_metadata").write_bytes(b""), "unpickle"),
    "rows of a part": (
        lambda folder: change(folder / MANIFEST_NAME, '"rows":12', '"rows":13'),
        "split train: 21 images in counts, 22 in parts and 21 in counts_per_class",
    ),
    "count": (
        lambda folder: change(folder / MANIFEST_NAME, r'"counts":{"train":21', r'"counts":{"train":20'),
        "split train: 20 images in counts, 21 in parts and 21 in counts_per_class",
    ),
    "count of a class": (
        lambda folder: change(folder / MANIFEST_NAME, r'"train":{"0":1', r'"train":{"0":2'),
        "split train: 21 images in counts, 21 in parts and 22 in counts_per_class",
    ),
    "path outside": (
        lambda folder: change(folder / MANIFEST_NAME, r'"split=test/part', r'"../split=test/part'),
        r"'\.\./split=test/part-00000\.parquet' is not the path of a part",
    ),
    "path from the root": (
        lambda folder: change(folder / MANIFEST_NAME, r'"split=test/part', r'"/etc/split=test/part'),
        r"'/etc/split=test/part-00000\.parquet' is not the path of a part",
    ),
    "path of another split": (
        lambda folder: change(folder / MANIFEST_NAME, r'"split=test/part', r'"split=train/part'),
        "'split=train/part-00000.parquet' is not the path of a part",
    ),
    "a file that is no part": (
        lambda folder: (folder / "split=train/notes.txt").write_text(""),
        r"notes\.txt: not in the folder's manifest",
    ),
    "a split that is not in the manifest": (
        lambda folder: shutil.copytree(folder / "split=test", folder / "split=extra"),
        r"split=extra/part-00000\.parquet: not in the folder's manifest",
    ),
    "row lost": (
        lambda folder: rewrite(folder / "split=train/part-00000.parquet", lambda table: table.slice(1)),
        "11 rows, but the manifest says 12",
    ),
    "no metadata": (
        lambda folder: rewrite(
            folder / "split=train/part-00000.parquet", lambda table: table.replace_schema_metadata({})
        ),
        "its schema does not match the contract for 4 px",
    ),
    "other size": (
        lambda folder: rewrite(
            folder / "split=train/part-00000.parquet",
            lambda table: table.replace_schema_metadata({**table.schema.metadata, b"size_px": b"5"}),
        ),
        "its schema does not match the contract for 4 px",
    ),
    "other dtype": (
        lambda folder: rewrite(
            folder / "split=train/part-00000.parquet",
            lambda table: table.replace_schema_metadata({**table.schema.metadata, b"pixel_dtype": b"int8"}),
        ),
        "its schema does not match the contract for 4 px",
    ),
    "mixed dtypes": (
        lambda folder: rewrite(
            folder / "split=train/part-00000.parquet",
            lambda table: table.replace_schema_metadata({**table.schema.metadata, b"pixel_dtype": b"float32"}),
        ),
        "files of float32 and uint8 pixels",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_is_not_as_its_manifest_says_is_refused(copy: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(variant_folder(copy))
    with pytest.raises(StreamError, match=message) as caught:
        opened(copy)
    assert str(variant_folder(copy)) in str(caught.value)
    assert re.search("make it again|remove it", str(caught.value))


def test_verify_compares_every_byte_with_the_digest(copy: Path) -> None:
    assert len(opened(copy, verify=True, mixture={"clean": 0.5, "gaussian-max": 0.5})) == 6
    path = variant_folder(copy) / "split=train/part-00000.parquet"
    label = pa.field("label", pa.int32(), nullable=False)
    rewrite(
        path, lambda table: table.set_column(1, label, pa.array([*table["label"].to_pylist()[:-1], 12], pa.int32()))
    )
    opened(copy)
    with pytest.raises(StreamError, match=r"content digest is [0-9a-f]{64}, but the manifest says"):
        opened(copy, verify=True)


@pytest.mark.parametrize("part", ["split=train/part-00000.parquet", "split=test/part-00000.parquet"])
@pytest.mark.parametrize("where", ["start", "end"])
def test_verify_finds_damage_that_keeps_the_size(copy: Path, part: str, where: str) -> None:
    path = variant_folder(copy) / part
    data = bytearray(path.read_bytes())
    at = slice(40, 140) if where == "start" else slice(-100, -50)
    data[at] = bytes(len(data[at]))
    path.write_bytes(data)
    with pytest.raises(StreamError, match=re.escape(str(variant_folder(copy)))):
        opened(copy, verify=True)


@pytest.mark.parametrize(
    ("small", "fact"),
    [
        (Small(SMALL.parts, ("other",), fingerprint={"source_digest": "1"}), "source_digest"),
        (Small(SMALL.parts, ("other",), fingerprint={"seed": 1}), "seed"),
        (Small({**SMALL.parts, "train": [[5, 2, 5]]}, ("other",)), "counts"),
        (Small({**SMALL.parts, "train": [[5, 5, 2, 5, 4]]}, ("other",)), "row groups"),
        (Small({**SMALL.parts, "train": [[5, 2, 5], [5, 4]]}, ("other",)), "row groups"),
        (Small(SMALL.parts, ("other",), pixel_dtype="float32"), "pixel_dtype"),
    ],
)
def test_variants_that_do_not_belong_together_are_not_mixed(copy: Path, small: Small, fact: str) -> None:
    small.write(copy)
    with pytest.raises(StreamError, match=f"other and clean cannot be mixed: their {fact} differ"):
        opened(copy, mixture={"clean": 0.5, "other": 0.5})


@pytest.mark.parametrize("others", [{"verify": True}, {"cache": "host"}])
def test_variants_in_another_order_are_found_by_verify_and_by_the_cache(copy: Path, others: dict[str, Any]) -> None:
    path = variant_folder(copy, "gaussian-max") / "split=train/part-00000.parquet"
    rewrite(path, lambda table: table.take([1, 0, *range(2, len(table))]))
    with pytest.raises(StreamError, match="cannot be mixed"):
        opened(copy, mixture={"clean": 0.5, "gaussian-max": 0.5}, **others)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"clean": 0.5}, "must sum to 1, these sum to"),
        ({}, "must sum to 1"),
        ({"clean": 1.5, "blur-max": -0.5}, "greater than 0"),
        ({"clean": 1.0, "blur-max": 0.0}, "greater than 0"),
        ({"clean": float("nan")}, "finite"),
    ],
)
def test_impossible_mixtures_are_refused(mixture: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Data(root="data", mixture=mixture)


@pytest.mark.parametrize("pool", ["thread", "dummy"])
@pytest.mark.parametrize("victim", range(5))
def test_a_row_group_that_is_lost_or_doubled_stops_the_epoch(
    roots: dict[str, Path], pool: str, victim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TableWorker.process
    stream = opened(roots["small"], pool=pool, window_row_groups=1)
    for times, message in ((0, "should give . rows in this epoch, got 0"), (2, "rows in this epoch, got more")):

        def sabotaged(self: TableWorker, piece_index: int, times: int = times, **others: Any) -> None:
            for _ in range(times if piece_index == victim else 1):
                original(self, piece_index, **others)

        monkeypatch.setattr(TableWorker, "process", sabotaged)
        with pytest.raises(StreamError, match=message):
            epoch_of(stream)


def test_a_row_that_is_lost_stops_the_epoch(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: TableWorker, piece_index: int, **_: Any) -> None:
        self.publish_func((piece_index, self._split_pieces[piece_index].read(["image_id", "label", "image"]).slice(1)))

    monkeypatch.setattr(TableWorker, "process", short)
    with pytest.raises(StreamError, match=r"should give (\d) rows in this epoch, got (?!\1)\d"):
        epoch_of(opened(roots["small"]))


@pytest.mark.parametrize("pool", ["thread", "dummy"])
def test_files_that_vanish_in_mid_epoch_stop_it(copy: Path, pool: str, capfd: pytest.CaptureFixture[str]) -> None:
    stream = opened(copy, pool=pool)
    for path in copy.rglob("*.parquet"):
        path.unlink()
    with pytest.raises(StreamError, match=r"part-0000\d\.parquet, row group \d: cannot be read"):
        epoch_of(stream)
    assert capfd.readouterr().err == ""


def test_images_of_another_size_stop_the_epoch(copy: Path) -> None:
    def halve(table: pa.Table) -> pa.Table:
        images = pa.array([image[:24] for image in table["image"].to_pylist()], pa.binary())
        return table.set_column(3, pa.field("image", pa.binary(), nullable=False), images)

    rewrite(variant_folder(copy) / "split=train/part-00000.parquet", halve)
    with pytest.raises(StreamError, match=r"images of \[24\] bytes, expected 48"):
        epoch_of(opened(copy))


@pytest.mark.slow
def test_what_the_main_job_makes_is_read(
    spark: SparkSession, make_noisy_datasets: ModuleType, repository: Path, tmp_path: Path
) -> None:
    fake_gtsrb.write_official(tmp_path / "raw", fake_gtsrb.make_images(frames=5))
    keys = (f"dataset.root={tmp_path / 'raw'}", f"output_root={tmp_path}", "sizes_px=[28]", "images_per_row_group=3")
    keys += ("images_per_part=8", *fake_gtsrb.ITS_CLASSES)
    wanted = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", keys)
    make_noisy_datasets.make(spark, wanted.dataset.listing(), wanted, Console(quiet=True))
    mixture = {variant: 1 / len(wanted.chosen) for variant in wanted.chosen}
    data = Data(root=str(wanted.dataset_folder), size_px=28, mixture=mixture, verify=True)
    folder = wanted.dataset_folder / "geometry=crop_or_pad" / "size_px=28"
    for split in wanted.splits:
        plain = pq.read_table(folder, filters=[("split", "==", split)]).to_pylist()
        expected = {(row["image_id"], row["label"], row["image"]) for row in plain}
        stream = open_stream(data, split, seed=0, batch_size=4)
        rows = [row for batch in epoch_of(stream) for row in batch if row[3]]
        assert sorted(row[0] for row in rows) == sorted({row["image_id"] for row in plain})
        assert {row[:3] for row in rows} <= expected
        assert isinstance(open_stream(data, split, seed=0, batch_size=4, cache="host"), CachedStream)
