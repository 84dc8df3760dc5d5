import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import affine_grid, grid_sample

from training.models.sign_net import ContrastNormalize, SignNet, SpatialTransformer


def build(model: SignNet, size_px: int = 48, seed: int = 0) -> nn.Sequential:
    return model.build(size_px, 43, (0.35, 0.32, 0.33), (0.28, 0.27, 0.28), seed)


def multiplications(network: nn.Sequential, size_px: int) -> int:
    """Of convolutions and dense layers on one image, counted on the tensors themselves: each output value of a layer is
    a sum over the weights of one of its channels."""
    counts: list[int] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, _, out: counts.append(out[0].numel() * layer.weight[0].numel())  # type: ignore[union-attr]
            )
    network.eval()(torch.rand(1, 3, size_px, size_px))
    return sum(counts)


def test_parameters_and_multiplications_stay_within_the_bounds_of_the_record() -> None:
    """By hand: 5 × 5 × 3 × 32 at 48 px, 3 × 3 × 32 × 48 at 24, × 48 × 112 at 12, × 112 × 192 and × 192 × 256 at 6 px,
    256 × 3 × 3 × 43 of the dense layer; two numbers per channel of batch norm, 43 biases."""
    weights = 75 * 32, 9 * 32 * 48, 9 * 48 * 112, 9 * 112 * 192, 9 * 192 * 256, 256 * 9 * 43
    expected = sum(weights) + 2 * (32 + 48 + 112 + 192 + 256) + 43
    network = build(SignNet())
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 800_907
    sides = 48, 24, 12, 6, 6, 1
    by_hand = sum(count * side**2 for count, side in zip(weights, sides, strict=True))
    assert multiplications(network, 48) == by_hand == 43_451_136 <= 45_000_000


@pytest.mark.parametrize("of", ["image", "channel"])
def test_contrast_normalization_is_the_plain_formula_for_each_image(of: str) -> None:
    images = torch.rand(4, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images[1] *= 0.01
    for image, ours in zip(images, ContrastNormalize(of)(images), strict=True):  # type: ignore[arg-type]
        parts = [image] if of == "image" else list(image)
        found = [ours] if of == "image" else list(ours)
        for part, got in zip(parts, found, strict=True):
            std = (((part - part.mean()) ** 2).mean() + (1 / 255) ** 2) ** 0.5
            torch.testing.assert_close(got.double(), (part - part.mean()) / std, atol=2e-4, rtol=1e-4)


def test_brightness_hardly_changes_the_logits_and_a_uniform_image_has_a_finite_gradient() -> None:
    network = build(SignNet()).eval()
    images = torch.rand(2, 3, 48, 48)
    darker = network(images * 0.5 + 0.1)
    torch.testing.assert_close(darker, network(images), atol=1e-3, rtol=1e-3)
    flat = torch.full((2, 3, 48, 48), 0.5, requires_grad=True)
    network(flat).square().sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_an_image_has_the_same_prediction_in_any_batch() -> None:
    network = build(SignNet(transformer=True)).eval()
    images = torch.rand(5, 3, 48, 48)
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]), atol=1e-5, rtol=1e-5)


def test_a_spatial_transformer_begins_as_the_identity_and_resamples_by_its_map() -> None:
    transformer = SpatialTransformer(3)
    images = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(transformer(images), images, atol=1e-4, rtol=1e-4)
    turned = torch.tensor([0.0, -1.0, 0.0, 1.0, 0.0, 0.0])
    with torch.no_grad():
        transformer.affine.bias.copy_(turned)
    # The output at (x, y) is the input at (−y, x): its first row, y = −1, is the input's last column, x = 1.
    torch.testing.assert_close(transformer(images)[:, :, 0], images[:, :, :, -1], atol=1e-4, rtol=1e-4)
    grid = affine_grid(turned.view(1, 2, 3).expand(2, -1, -1), [2, 3, 24, 24], align_corners=False)
    torch.testing.assert_close(transformer(images), grid_sample(images, grid, align_corners=False))


def test_its_localization_learns_once_it_has_left_the_identity() -> None:
    """Initially only the bias and the weights of its last layer have a gradient."""
    network = SpatialTransformer(3)
    images = torch.rand(8, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    step = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        step.zero_grad()
        (network(images) - images.flip(3)).square().mean().backward()
        step.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="widths"):
        SignNet(widths=(8, 8, 8, 8))
    with pytest.raises(ValidationError, match="contrast"):
        SignNet.model_validate({"contrast": "local"})
