import numpy as np
import pytest
import torch
from torch import nn

from training.gans import GanArchitecture
from training.gans.conditional import Conditional
from training.gans.dcgan import Dcgan
from training.gans.r3gan_small import R3ganSmall
from training.gans.verdict import MinibatchStd, Verdict, judge, mixes_images
from training.gans.wgan_gp import WganGp

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.tensor([0, 1, 2, 1, 0])


def test_the_minibatch_standard_deviation_is_numpys() -> None:
    features = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    found = MinibatchStd()(features)
    assert torch.equal(found[:, :4], features)
    np.testing.assert_allclose(found[:, 4], np.std(features.numpy(), axis=0).mean().repeat(6), rtol=1e-5)
    equal = features[:1].expand(6, 4).clone().requires_grad_()
    MinibatchStd()(equal).sum().backward()
    assert equal.grad is not None and equal.grad.isfinite().all()


@pytest.mark.parametrize("minibatch_std", [False, True])
def test_a_projections_value_is_that_of_the_formula(minibatch_std: bool) -> None:
    verdict = Verdict(projection=True, minibatch_std=minibatch_std)
    features = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    model, embedding = nn.Sequential(nn.Tanh(), *verdict.layers(4)), verdict.embedding(4, 3)
    assert embedding is not None
    found = judge(model, embedding, features, LABELS).detach().numpy()
    seen = np.tanh(features.numpy())
    if minibatch_std:
        seen = np.concatenate([seen, np.full((5, 1), np.std(seen, axis=0).mean())], axis=1)
    weight, bias, embedded = (
        tensor.detach().numpy() for tensor in (model[-1].weight, model[-1].bias, embedding.weight)
    )
    expected = [bias[0] + seen[n] @ weight[0] + seen[n] @ embedded[label] for n, label in enumerate(LABELS.tolist())]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "gan",
    [
        Conditional(projection=True, minibatch_std=True, spectral_norm=True),
        Dcgan(channels=4, conditional=True, projection=True, minibatch_std=True, spectral_norm=True),
        WganGp(width=4, projection=True, minibatch_std=True, spectral_norm=True),
        R3ganSmall(channels=4, minibatch_std=True),
    ],
    ids=lambda gan: gan.kind,
)
def test_every_discriminator_takes_them_together(gan: GanArchitecture) -> None:
    discriminator = gan.build(8, 3, 0).discriminator
    assert mixes_images(discriminator)
    for _ in range(200):  # each pass is a step of the power iteration
        discriminator(IMAGES, LABELS)
    weighted = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert any(isinstance(layer, nn.Embedding) for layer in weighted)
    for layer in weighted if gan.spectral_norm else []:
        largest = torch.linalg.svdvals(layer.weight.flatten(1).detach())[0].item()
        assert largest == pytest.approx(1, abs=0.03)
    discriminator.eval()
    values = discriminator(IMAGES, LABELS)
    assert not torch.allclose(values, discriminator(IMAGES, (LABELS + 1) % 3))
    assert not torch.allclose(values[:2], discriminator(IMAGES[:2], LABELS[:2]))


def test_without_the_remedies_a_discriminator_is_as_it_was() -> None:
    discriminator = Conditional().build(8, 3, 0).discriminator
    assert list(discriminator.state_dict()) == [
        "input.embedding.weight", "model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias",
        "model.4.weight", "model.4.bias",
    ]  # fmt: skip
    assert discriminator.model[0].in_features == 3 * 64 + 3
    projected = Conditional(projection=True).build(8, 3, 0).discriminator
    assert projected.model[0].in_features == 3 * 64
