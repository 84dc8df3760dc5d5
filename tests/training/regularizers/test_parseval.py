import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from pydantic import ValidationError
from torch import nn

from pipelines.errors import SettingsError
from training.models.baseline_cnn import BaselineCnn
from training.models.resnet50 import Resnet50
from training.regularizers import Parseval
from training.regularizers.operator_norms import layer_measures, operator_norm
from training.regularizers.parseval import ParsevalStep


def step_of(network: nn.Module, seed: int = 0, **fields: float) -> ParsevalStep:
    return ParsevalStep(Parseval(**fields), network, lambda: np.random.default_rng(seed))


@settings(max_examples=25)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 99), st.floats(0.001, 0.5))
def test_singular_values_move_to_1_by_the_scalar_law(rows: int, columns: int, seed: int, beta: float) -> None:
    """With W = U S Vᵀ, W Wᵀ W is U S³ Vᵀ, so each singular value becomes (1 + β) s − β s³."""
    layer = nn.Linear(columns, rows, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)))
    before = torch.linalg.svdvals(layer.weight.detach().double())
    step_of(layer, beta=beta).step()
    after = torch.linalg.svdvals(layer.weight.detach().double())
    expected = ((1 + beta) * before - beta * before**3).abs().sort(descending=True).values
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=1e-3)


def test_many_steps_end_at_orthonormal_rows_for_dense_layers_and_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 4))
    hook = step_of(network, beta=0.1)
    for _ in range(300):
        hook.step()
    for layer in (network[0], network[3]):
        matrix = layer.weight.detach().flatten(1)
        torch.testing.assert_close(matrix @ matrix.t(), torch.eye(len(matrix)), atol=1e-4, rtol=0)
    measures = layer_measures(network, (3, 4, 4))
    assert measures["distance_from_parseval/0"] == pytest.approx(0, abs=1e-3)


def test_only_the_rows_that_were_drawn_are_changed() -> None:
    layer = nn.Linear(6, 200)
    before = layer.weight.detach().clone()
    step_of(layer, rows=0.25).step()
    changed = (layer.weight.detach() != before).any(1)
    drawn = torch.from_numpy(np.random.default_rng(0).random(200) < 0.25)
    assert torch.equal(changed, drawn)
    chosen = before[drawn]
    torch.testing.assert_close(layer.weight.detach()[drawn], 1.01 * chosen - 0.01 * chosen @ chosen.t() @ chosen)


def test_layers_that_project_are_projected() -> None:
    class Projecting(nn.Module):
        projected = 0

        def project(self) -> None:
            self.projected += 1

    network = nn.Sequential(nn.Linear(2, 2), Projecting())
    step_of(network).step()
    assert network[1].projected == 1


def test_a_network_without_matrices_is_refused_and_so_are_values_out_of_range() -> None:
    with pytest.raises(SettingsError, match="no convolution and no dense layer"):
        step_of(nn.Sequential(nn.BatchNorm2d(3)))
    for fields in ({"beta": 0.0}, {"beta": 0.6}, {"rows": 0.0}, {"rows": 1.1}):
        with pytest.raises(ValidationError):
            Parseval(**fields)


@pytest.mark.parametrize("how", [{}, {"padding": 1}, {"stride": 2}, {"stride": 2, "padding": 1}, {"groups": 2}])
def test_the_norm_of_a_convolution_is_that_of_its_matrix(how: dict[str, int]) -> None:
    torch.manual_seed(0)
    layer, shape = nn.Conv2d(2, 4, 3, **how), (2, 6, 6)
    count = int(np.prod(shape))
    outputs = layer(torch.eye(count).view(count, *shape)) - layer(torch.zeros(1, *shape))
    exact = float(torch.linalg.matrix_norm(outputs.detach().flatten(1), 2))
    assert operator_norm(layer, shape) == pytest.approx(exact, rel=0.02)
    assert operator_norm(layer, shape) <= exact * (1 + 1e-5)


def test_the_product_bounds_what_a_chain_of_layers_amplifies() -> None:
    network = BaselineCnn(normalization="none").build(16, 5, (0.4,) * 3, (0.3,) * 3, 0).train()
    product = layer_measures(network, (3, 16, 16))["operator_norm/product"]
    assert network.training
    images = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    moved, distances = torch.pdist(network.eval()(images).detach()), torch.pdist(images.flatten(1))
    assert 0 < (moved / distances).max() <= product


def test_every_layer_of_a_network_with_residual_blocks_is_measured() -> None:
    network = Resnet50().build(32, 5, (0.4,) * 3, (0.3,) * 3, 0)
    measures = layer_measures(network, (3, 32, 32))
    assert sum(name.startswith("operator_norm/") for name in measures) == 54 + 1
    assert all(np.isfinite(value) for value in measures.values())
