"""Training from given weights: a frozen body, learning rates by depth, resumption."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_runs import STILL, recipe, run_epochs, stop_after, training, write_dataset
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import decisive_values, load
from training.classifiers.fine_tuning import parameter_groups, stages
from training.classifiers.settings import TrainClassifier
from training.classifiers.training import ClassifierTraining
from training.models import MODELS
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet
from training.streams.stream import Data

MEAN, STD = (0.35, 0.32, 0.33), (0.28, 0.27, 0.28)
WIDTHS = (4, 4, 8, 8, 8)
HEAD = {"1.22.weight", "1.22.bias"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp("dataset"), size_px=16)
    torch.save(SignNet(widths=WIDTHS).build(16, 7, MEAN, STD, 5)[1].state_dict(), root / "weights.pt")
    return root


def small(root: Path, **fields: Any) -> ClassifierTraining:
    model = SignNet(widths=WIDTHS, weights=str(root / "weights.pt"))
    return training(recipe(root, **{"data": Data(root=str(root), size_px=16), "model": model, **fields}))


def state(of: ClassifierTraining) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.network.state_dict().items()}


@pytest.mark.parametrize(
    ("kind", "count", "head"),
    [
        ("aol_cnn", 8, ["19"]),
        ("baseline_cnn", 5, ["13"]),
        ("classic_classifier", 4, ["11", "12"]),
        ("inception_v3", 17, ["fc"]),
        ("mobilenet_v2", 20, ["classifier.1"]),
        ("resnet18", 10, ["fc"]),
        ("resnet50", 18, ["fc"]),
        ("sign_net", 6, ["22"]),
    ],
)
def test_the_stages_of_a_network_are_its_layers_and_blocks_in_order(kind: str, count: int, head: list[str]) -> None:
    """Of ResNets a convolution, 8 or 16 blocks and the head; of MobileNetV2 a convolution, 17 blocks, a convolution."""
    with torch.device("meta"):
        network = MODELS[kind]().build(max(32, MODELS[kind].min_size_px), 43, MEAN, STD, 0)
    found = stages(network)
    names = {module: name for name, module in network[1].named_modules()}
    assert (len(found), [names[layer] for layer in found[-1]]) == (count, head)
    of_stages = [parameter for stage in found for layer in stage for parameter in layer.parameters()]
    assert list(map(id, of_stages)) == list(map(id, network.parameters())), "each parameter is in one stage"


def test_every_model_is_in_that_list() -> None:
    (marked,) = test_the_stages_of_a_network_are_its_layers_and_blocks_in_order.pytestmark  # type: ignore[attr-defined]
    assert {kind for kind, *_ in marked.args[1]} == set(MODELS)


def test_the_learning_rate_falls_by_a_factor_from_stage_to_stage(root: Path) -> None:
    tuned = small(root, lr_decay_per_depth=0.5, schedule="constant", lr=0.01, augmentation=STILL)
    before = state(tuned)
    tuned.train_on(next(iter(tuned.train.epoch(0))))
    groups = tuned.learners["classifier"].optimizer.param_groups
    assert [group["lr"] for group in groups] == [0.01 * 0.5**depth for depth in (5, 4, 3, 2, 1, 0)]
    after = state(tuned)
    first, head = ((after[name] - before[name]).abs().max().item() for name in ("1.1.weight", "1.22.weight"))
    assert head == pytest.approx(0.01, rel=0.01)  # Adam's first step is the learning rate
    assert first == pytest.approx(0.01 / 32, rel=0.01)


def test_without_a_factor_there_is_one_group_as_before() -> None:
    network = BaselineCnn().build(8, 43, MEAN, STD, 0)
    (group,) = parameter_groups(network, 1.0)
    assert group["lr_scale"] == 1 and len(group["params"]) == 10


def test_a_frozen_body_stays_as_it_was_with_its_statistics_and_is_trained_afterwards(root: Path) -> None:
    tuned = small(root, frozen_epochs=1, epochs=2, weight_decay=0.1, ema_decay=0.9)
    before = state(tuned)
    run_epochs(tuned, 1)
    frozen = state(tuned)
    changed = {name for name in frozen if not torch.equal(frozen[name], before[name])}
    assert changed == HEAD
    run_epochs(tuned, 2)
    after = state(tuned)
    unchanged = {name for name in after if torch.equal(after[name], frozen[name])}
    assert unchanged == {"0.mean", "0.std"}


def test_a_frozen_body_computes_as_in_evaluation(root: Path) -> None:
    """What reaches the head in a training step is what it is in evaluation, but for the dropout right before it."""
    tuned = small(root, frozen_epochs=1, augmentation=STILL)
    seen: list[torch.Tensor] = []
    tuned.network[1][19].register_forward_hook(lambda _, __, out: seen.append(out.detach().clone()))
    batches = [batch.images.float() / 255 for batch in tuned.train.epoch(0)]
    for _ in tuned.steps():
        pass
    trained, seen[:] = list(seen), []
    tuned.network.eval()
    with torch.no_grad():
        for images, found in zip(batches, trained, strict=True):
            tuned.network(images)
            torch.testing.assert_close(found, seen.pop()[: len(found)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stops", [(1, 5), (6, 7, 11)])
def test_stopped_after_any_step_and_resumed_without_the_file_it_gives_the_same_bits(
    root: Path, stops: tuple[int, ...], tmp_path: Path
) -> None:
    own = tmp_path / "weights.pt"
    own.write_bytes((root / "weights.pt").read_bytes())
    model = SignNet(widths=WIDTHS, weights=str(own))
    fields: dict[str, Any] = {
        "model": model, "frozen_epochs": 1, "lr_decay_per_depth": 0.8, "ema_decay": 0.9, "resume": "auto",
    }  # fmt: skip
    straight = run_epochs(small(root, **fields), 2)
    for steps in stops:
        first = stop_after(small(root, **fields), steps)
        own.rename(tmp_path / "elsewhere")
        second = small(root, **fields)
        assert second.pretrained is None and "No such file" in str(second.weights_error)
        second.load_state(first.state())
        run_epochs(second, 2)
        (tmp_path / "elsewhere").rename(own)
        for one, other in ((second.network, straight.network), (second.final, straight.final)):
            assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values())), steps


def test_a_run_that_is_not_resumed_needs_the_file(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"model.weights=/nowhere: /nowhere: No such file"):
        small(root, model=SignNet(widths=WIDTHS, weights="/nowhere"))


def test_freezing_what_was_drawn_is_refused_and_older_fingerprints_stay(root: Path, repository: Path) -> None:
    config = repository / "conf" / "train_classifier.yaml"
    with pytest.raises(SettingsError, match=r"frozen_epochs: the body would stay as it was drawn; give model.weights"):
        load(TrainClassifier, config, [f"data.root={root}", "frozen_epochs=1"])
    with pytest.raises(ValidationError, match="lr_decay_per_depth"):
        TrainClassifier.model_validate({"lr_decay_per_depth": 1.5})
    plain = recipe(root)
    assert not {"frozen_epochs", "lr_decay_per_depth"} & decisive_values(plain).keys()
    assert "weights" not in decisive_values(plain)["model"]
    first = plain.fingerprint({}, 1)
    for key, value in {"frozen_epochs": 1, "lr_decay_per_depth": 0.5, "model": BaselineCnn(weights="w")}.items():
        assert plain.model_copy(update={key: value}).fingerprint({}, 1) != first


def test_a_head_of_a_linear_layer_and_a_batch_norm_is_trained_while_the_body_is_frozen() -> None:
    from training.classifiers.fine_tuning import freeze_body

    network = MODELS["classic_classifier"]().build(8, 7, MEAN, STD, 0).train()
    freeze_body(network, True)
    modes = [layer.training for layer in network[1] if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert modes == [False, False, False, True]
    trained = [name for name, parameter in network[1].named_parameters() if parameter.requires_grad]
    assert trained == ["11.weight", "12.weight", "12.bias"]
    freeze_body(network, False)
    assert all(layer.training for layer in network[1] if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d))
