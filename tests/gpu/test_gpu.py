"""The GPU against the CPU. Every test also runs on the CPU alone, so that its code is known to work where there is no
GPU; those marked gpu are skipped there."""

import copy
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_datasets import Small

from pipelines.settings import load
from training.attacks import LabelledImages, SnrDb
from training.attacks.fgsm import Fgsm
from training.classifiers.run import make_training, open_splits
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Shape
from training.loop.ranks import Ranks, ranks_on
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet

REPOSITORY = Path(__file__).parents[2]
SIZE_PX = 16


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    return torch.device(request.param)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Small({"train": [[20, 12]], "validation": [[8]]}, size_px=SIZE_PX).write(tmp_path_factory.mktemp("signs"))


def images(count: int = 12) -> torch.Tensor:
    return torch.rand(count, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))


def settings(root: Path, device: torch.device, *more: str) -> TrainClassifier:
    given = [f"data.root={root}", f"data.size_px={SIZE_PX}", f"device={device.type}", "batch_size=8", "epochs=2", *more]
    return load(TrainClassifier, REPOSITORY / "conf" / "train_classifier.yaml", given)


def train(own: TrainClassifier, ranks: Ranks, stop_after: int | None = None) -> dict[str, Any]:
    """The state after the first epoch; with `stop_after` it is interrupted after so many steps and goes on in another
    object."""
    opened, validation = open_splits(own, ranks)
    training = make_training(own, ranks, opened, validation)
    for step, _ in enumerate(training.steps(), 1):
        if step == stop_after:
            state = copy.deepcopy(training.state())
            training = make_training(own, ranks, opened, validation)
            training.load_state(state)
            list(training.steps())
            break
    training.finish_epoch()
    return training.state()


@pytest.mark.parametrize("model", [BaselineCnn(), SignNet(widths=(8, 8, 16, 16, 16), transformer=True)])
def test_logits_and_gradients_are_those_of_the_cpu(device: torch.device, model: Any) -> None:
    found = []
    for place in (torch.device("cpu"), device):
        network = Shape(SIZE_PX, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)).build(model, 0).to(place).eval()
        inputs = images().to(place).requires_grad_()
        logits = network(inputs)
        torch.nn.functional.cross_entropy(logits, torch.arange(12, device=place)).backward()
        assert inputs.grad is not None
        found.append((logits.detach().cpu(), inputs.grad.cpu()))
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


def test_fgsm_finds_the_same_images_but_where_a_gradient_is_zero(device: torch.device) -> None:
    made = []
    for place in (torch.device("cpu"), device):
        network = Shape(SIZE_PX, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)).build(BaselineCnn(), 0).to(place).eval()
        examples = LabelledImages(images().to(place), torch.arange(12, device=place), [str(one) for one in range(12)])
        (attacked,) = Fgsm()(network, examples, [SnrDb(33.0)])
        made.append(attacked.images.cpu())
    assert np.isclose(made[0], made[1], atol=1e-5).mean() > 0.99


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_was_interrupted_has_the_same_weights(device: torch.device, root: Path, precision: Any) -> None:
    own = settings(root, device, f"precision={precision}")
    with ranks_on(own.device, precision) as ranks:
        whole, resumed = train(own, ranks), train(own, ranks, stop_after=2)
    weights = [next(iter(state["players"].values()))["network"] for state in (whole, resumed)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_bfloat16_learns_what_float32_learns(device: torch.device, root: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        with ranks_on(device.type, precision) as ranks:
            losses.append(train(settings(root, device, f"precision={precision}"), ranks)["metrics"]["loss/train"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize("cache", ["none", "host", "device"])
def test_every_cache_gives_the_same_images(device: torch.device, root: Path, cache: str) -> None:
    if cache == "device" and device.type == "cpu":
        pytest.skip("the CPU has no memory of its own")
    found = []
    with ranks_on(device.type, "float32") as ranks:
        for one in ("none", cache):
            opened, _ = open_splits(settings(root, device, f"cache={one}"), ranks)
            found.append(
                {
                    image_id: (label, image.numpy().tobytes())
                    for batch in opened.epoch(0)
                    for image_id, image, label in zip(
                        batch.image_ids, batch.images.cpu(), batch.labels.tolist(), strict=True
                    )
                }
            )
    assert found[0] == found[1]
    assert len(found[0]) == 32


def test_one_rank_of_the_devices_backend_sums(device: torch.device, tmp_path: Path) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        value = torch.ones(3, device=device)
        torch.distributed.all_reduce(value)
        assert value.cpu().tolist() == [1, 1, 1]
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture
def check_gpu() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("check_gpu", REPOSITORY / "benchmarks" / "check_gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_gpu"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["check_gpu"]


def test_the_figures_are_recorded_between_the_marks_of_a_page(
    check_gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{check_gpu.MARKS}\nold\n{check_gpu.MARKS}\nafter\n")
    small = ["--images", "60", "--steps", "1", "--runs", "1", "--batch-size", "4", "--models", "baseline_cnn"]
    arguments = ["check_gpu.py", "--device", "cpu", *small, "--skip-compile", "--record", str(page)]
    monkeypatch.setattr(sys, "argv", arguments)
    check_gpu.main()
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "old" not in text
    for what in ("training baseline_cnn, 40 px, float32", "GAN r3gan_small", "FGSM at 33 dB", "bfloat16"):
        assert what in text
    assert "An epoch of GTSRB's 60 training images at 40 px:" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_that_it_was_skipped(
    check_gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check_gpu.py"])
    check_gpu.main()
    assert "skipped: PyTorch finds no GPU" in capsys.readouterr().out
