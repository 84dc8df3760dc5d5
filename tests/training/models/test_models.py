import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipelines.errors import SettingsError
from training.models import MODELS, Model, Normalize
from training.models.baseline_cnn import BaselineCnn
from training.models.classic_classifier import ClassicClassifier
from training.models.inception_v3 import InceptionV3
from training.models.mobilenet_v2 import MobilenetV2
from training.models.resnet18 import Resnet18
from training.models.resnet50 import Resnet50

MEAN, STD = (0.35, 0.32, 0.33), (0.28, 0.27, 0.28)


def build(model: Model, size_px: int = 40, seed: int = 0) -> nn.Sequential:
    return model.build(size_px, 43, MEAN, STD, seed)


def test_baseline_cnn_has_the_parameters_of_the_papers_figure_8() -> None:
    layers = [layer for layer in build(BaselineCnn()).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers] == [
        448,
        4_640,
        18_496,
        204_928,
        5_547,
    ]
    assert sum(parameter.numel() for parameter in build(BaselineCnn()).parameters()) == 234_059


@pytest.mark.parametrize(("size_px", "side"), [(28, 3), (40, 5), (50, 6), (75, 9)])
def test_baseline_cnn_takes_every_size(size_px: int, side: int) -> None:
    network = build(BaselineCnn(), size_px)
    assert network(torch.rand(2, 3, size_px, size_px)).shape == (2, 43)
    assert sum(parameter.numel() for parameter in network.parameters()) == 234_059 + (side**2 - 25) * 64 * 128


@pytest.mark.parametrize("kind", MODELS)
def test_a_training_starts_at_about_the_loss_of_a_guess(kind: str) -> None:
    """ln 43 = 3.76."""
    model = MODELS[kind]()
    network = build(model, max(40, model.min_size_px))
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, *2 * (max(40, model.min_size_px),), generator=drawn)
    labels = torch.randint(0, 43, (16,), generator=drawn)
    assert nn.functional.cross_entropy(network(images), labels).item() == pytest.approx(math.log(43), abs=0.8)


@pytest.mark.parametrize("initialization", ["keras", "torch"])
def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone(initialization: str) -> None:
    model = BaselineCnn.model_validate({"initialization": initialization})
    state = torch.random.get_rng_state()
    weights = [build(model, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["1.0.weight"], weights[2]["1.0.weight"])


def test_keras_initialization_is_glorot_uniform_with_zero_biases() -> None:
    network = build(BaselineCnn(initialization="keras"))
    dense = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    limit = (6 / (1600 + 128)) ** 0.5
    assert dense.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert dense.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.01)
    assert all(not layer.bias.any() for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def test_normalization_is_the_first_layer_and_is_not_trained() -> None:
    network = build(BaselineCnn())
    images = torch.rand(4, 3, 40, 40)
    expected = torch.stack([(images[:, c] - MEAN[c]) / STD[c] for c in range(3)], dim=1)
    assert isinstance(network[0], Normalize)
    torch.testing.assert_close(network[0](images), expected)
    assert list(network[0].parameters()) == []
    assert {"0.mean", "0.std"} < network.state_dict().keys()
    torch.testing.assert_close(build(BaselineCnn(normalization="none"))[0](images), images)


def test_dropout_acts_only_in_training() -> None:
    network = build(BaselineCnn(dropout=0.5))
    images = torch.rand(2, 3, 40, 40)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="dropout"):
        BaselineCnn(dropout=1.0)
    with pytest.raises(ValidationError, match="layers_count"):
        BaselineCnn.model_validate({"layers_count": 3})


def test_without_normalization_a_networks_state_can_still_take_another_ones_mean_and_std() -> None:
    """Its buffers are floats, so that what is loaded into them is not cut to whole numbers."""
    network = build(BaselineCnn(normalization="none"))
    network.load_state_dict(build(BaselineCnn()).state_dict())
    first = network[0]
    assert isinstance(first, Normalize)
    torch.testing.assert_close(first.std.flatten(), torch.tensor(STD))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_networks_of_torchvision_have_the_parameters_that_it_publishes() -> None:
    """Inception-v3 without its auxiliary classifier: 1 × 1 × 768 × 128, 5 × 5 × 128 × 768, two numbers per channel of
    batch norm, and a dense layer of 768 × 1,000 and 1,000 biases."""
    auxiliary = 768 * 128 + 2 * 128 + 25 * 128 * 768 + 2 * 768 + 769 * 1000
    published = {MobilenetV2: (3_504_872, 1280), Resnet50: (25_557_032, 2048), InceptionV3: (27_161_264, 2048)}
    for kind, (count, features) in published.items():
        with torch.device("meta"):
            found, for_signs = (parameters(kind().build(75, classes, MEAN, STD, 0)) for classes in (1000, 43))
        assert found == count - (auxiliary if kind is InceptionV3 else 0)
        assert for_signs == found - 957 * (features + 1)
        assert f"{for_signs:,} parameters at 43 classes" in (kind.__doc__ or "")


def test_those_counts_are_what_the_weights_of_torchvision_say() -> None:
    from torchvision.models import Inception_V3_Weights, MobileNet_V2_Weights, ResNet50_Weights

    weights = MobileNet_V2_Weights, ResNet50_Weights, Inception_V3_Weights
    assert [of.DEFAULT.meta["num_params"] for of in weights] == [3_504_872, 25_557_032, 27_161_264]


@pytest.mark.parametrize(("size_px", "side"), [(32, 4), (50, 7), (63, 8), (64, 4), (75, 5)])
def test_resnet18_is_the_one_for_cifar_and_pools_from_64_px_on(size_px: int, side: int) -> None:
    """kuangliu/pytorch-cifar has 11,173,962 parameters with ten classes. Three of its blocks have stride 2."""
    network = Resnet18().build(size_px, 10, MEAN, STD, 0)
    assert parameters(network) == 11_173_962 == 11_689_512 - (49 - 9) * 3 * 64 - 990 * 513
    seen: list[torch.Size] = []
    network.get_submodule("1.layer4").register_forward_hook(lambda _, __, out: seen.append(out.shape))
    network.eval()(torch.rand(2, 3, size_px, size_px))
    assert seen == [torch.Size([2, 512, side, side])]


@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 43)])
def test_the_classic_classifier_has_the_layers_of_the_report(channels: int, classes: int) -> None:
    """32 × 32 × 32 after both convolutions, 32 × 16 × 16 after pooling, 128 and the classes; all batch-normalized."""
    network = ClassicClassifier().build(32, classes, MEAN[:channels], STD[:channels], 0)
    seen: list[tuple[str, tuple[int, ...]]] = []
    for layer in network[1]:
        layer.register_forward_hook(lambda layer, _, out: seen.append((type(layer).__name__, tuple(out.shape[1:]))))
    network(torch.rand(4, channels, 32, 32))
    block = [("BatchNorm2d", (32, 32, 32)), ("ReLU", (32, 32, 32))]
    assert seen == [
        ("Conv2d", (32, 32, 32)), *block, ("Conv2d", (32, 32, 32)), *block, ("MaxPool2d", (32, 16, 16)),
        ("Flatten", (8192,)), ("Linear", (128,)), ("BatchNorm1d", (128,)), ("ReLU", (128,)),
        ("Linear", (classes,)), ("BatchNorm1d", (classes,)),
    ]  # fmt: skip
    weights = 9 * 32 * (channels + 32), 2 * (32 + 32 + 128 + classes), 128 * (8192 + classes)
    assert parameters(network) == sum(weights)
    assert channels == 3 or parameters(network) == 1_059_764


@pytest.mark.parametrize("kind", ["inception_v3", "mobilenet_v2", "resnet50"])
def test_a_network_for_one_channel_is_the_other_one_but_for_its_first_convolution(kind: str) -> None:
    one, three = (MODELS[kind]().build(75, 10, MEAN[:channels], STD[:channels], 0) for channels in (1, 3))
    differing = [
        (name, weight.shape[1], other.shape[1])
        for (name, weight), other in zip(one.named_parameters(), three.parameters(), strict=True)
        if weight.shape != other.shape
    ]
    assert [(before, after) for _, before, after in differing] == [(1, 3)]
    assert differing[0][0] == next(iter(dict(three.named_parameters())))
    weights = [next(iter(network.parameters())) for network in (one, three)]
    assert torch.equal(weights[0], weights[1][:, :1])


def test_inception_cannot_have_its_auxiliary_classifier_at_the_papers_size() -> None:
    from torchvision.models import inception_v3

    with_auxiliary = inception_v3(weights=None, aux_logits=True, init_weights=False)
    with pytest.raises(RuntimeError, match=r"Output size is too small"):
        with_auxiliary(torch.rand(2, 3, 75, 75))


@pytest.mark.parametrize("channels", [1, 3])
def test_normalization_can_be_that_of_imagenet_whatever_the_training_images_are(channels: int) -> None:
    images = torch.rand(2, channels, 40, 40)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    first = BaselineCnn(normalization="imagenet").build(40, 43, MEAN[:channels], STD[:channels], 0)[0]
    torch.testing.assert_close(first(images), (images - mean) / std, atol=1e-5, rtol=1e-5)


def test_inception_with_imagenets_normalization_sees_images_from_minus_one_to_one() -> None:
    network = build(InceptionV3(), 75).eval()
    seen: list[torch.Tensor] = []
    network.get_submodule("1.Conv2d_1a_3x3").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.rand(2, 3, 75, 75)
    network(images)
    torch.testing.assert_close(seen[0], images * 2 - 1, atol=1e-5, rtol=1e-5)


def test_an_image_smaller_than_a_network_can_take_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^data.size_px=50: inception_v3 needs at least 75 px$"):
        InceptionV3().build(50, 43, MEAN, STD, 0)
