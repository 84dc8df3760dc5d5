"""Batch norm on two ranks: each normalizes by its own images, and both have the weighted mean of the statistics."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import STILL, recipe, training, write_dataset
from standalone import environment
from torch.nn.functional import cross_entropy

from training.models.sign_net import SignNet
from training.streams.stream import Data

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "reference" / "two_ranks.py"
MODEL = SignNet(widths=(4, 4, 8, 8, 8), dropout=0.0)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), size_px=16)


def on_two_ranks(root: Path, output: Path, weights: str = "none", frozen_epochs: int = 0) -> list[dict[str, Any]]:
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node", "2", str(PROGRAM)]
    arguments = [str(root), str(output), "8", weights, str(frozen_epochs)]
    variables = {**environment(), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parent)}
    found = subprocess.run([*torchrun, *arguments], env=variables, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return [torch.load(output / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def assert_same(ranks: list[dict[str, Any]]) -> None:
    """Bit for bit, after each epoch and in the moving average; so the validation of both is of the same network."""
    first, second = ([*rank["epochs"], rank["final"]] for rank in ranks)
    for one, other in zip(first, second, strict=True):
        assert all(map(torch.equal, one.values(), other.values()))
    assert ranks[0]["metrics"]["loss/validation"] == ranks[1]["metrics"]["loss/validation"]


def by_hand(root: Path) -> list[State]:
    """In one process: both halves of each batch of 16 go through the same network one after the other, gradients are
    those of the mean over all valid images, and the running statistics the mean weighted by their number."""
    plain = training(recipe(root, model=MODEL, data=Data(root=str(root), size_px=16), augmentation=STILL, lr=1e-3))
    network = plain.network.train()
    adam = torch.optim.Adam(network.parameters())
    steps, taken, epochs = 2 * len(plain.train), 0, []
    for epoch in range(2):
        for batch in plain.train.epoch(epoch):
            adam.param_groups[0]["lr"] = plain.settings.lr_at(taken / steps)
            taken += 1
            count = int(batch.valid.sum())
            buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
            mean = {name: torch.zeros_like(buffer) for name, buffer in buffers.items() if "running" in name}
            adam.zero_grad()
            for half in (slice(0, 8), slice(8, 16)):
                own = int(batch.valid[half].sum())
                rows = slice(half.start, half.start + max(own, 2))
                network.load_state_dict(buffers, strict=False)
                logits = network(batch.images[rows].float() / 255)
                losses = cross_entropy(logits, batch.labels[rows], reduction="none") * batch.valid[rows]
                (losses.sum() / count).backward()
                for name, buffer in network.named_buffers():
                    if name in mean:
                        mean[name] += buffer * own / count
            network.load_state_dict(mean, strict=False)
            adam.step()
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    return epochs


def test_both_ranks_have_the_same_network_and_it_is_the_one_by_hand(root: Path, tmp_path: Path) -> None:
    """94 images in batches of 2 × 8: of the last 14 the second rank has 6."""
    ranks = on_two_ranks(root, tmp_path)
    assert_same(ranks)
    for found, expected in zip(ranks[0]["epochs"], by_hand(root), strict=True):
        for name, tensor in expected.items():
            if "num_batches" not in name:
                torch.testing.assert_close(found[name], tensor, atol=2e-3, rtol=2e-3, msg=name)


def test_a_frozen_body_stays_as_it_was_on_both_ranks(root: Path, tmp_path: Path) -> None:
    weights = MODEL.build(16, 5, (0.3,) * 3, (0.2,) * 3, 7)[1].state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    ranks = on_two_ranks(root, tmp_path, str(tmp_path / "weights.pt"), frozen_epochs=1)
    for rank in ranks:
        frozen, trained = rank["epochs"]
        body = [name for name in weights if not name.startswith("22.")]
        assert all(torch.equal(frozen[f"1.{name}"], weights[name]) for name in body)
        assert not any(torch.equal(trained[f"1.{name}"], weights[name]) for name in body)
    assert_same(ranks)
