"""A simple reference implementation of the joint training."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import log_softmax, nll_loss


class PlainStep(NamedTuple):
    """`images` (N, C, S, S) in [0, 1]; the latents of the critic's and of the classifier's step."""

    images: torch.Tensor
    labels: torch.Tensor
    latent: torch.Tensor
    share: torch.Tensor
    latent_of_classifier: torch.Tensor


class Networks(NamedTuple):
    generator: nn.Module
    critic: nn.Module
    robust: nn.Module
    classic: nn.Module


def plain_joint(
    networks: Networks, steps: Sequence[PlainStep], n_critic: int, classifier_every: int, lr: float
) -> None:
    """Trains the networks in place by gradient descent; the gradient penalty, of weight 10, one image at a time."""
    generator, critic, robust, classic = networks
    of_generator, of_critic, of_robust, of_classic = (torch.optim.SGD(net.parameters(), lr) for net in networks)
    for number, step in enumerate(steps, 1):
        real = 2 * step.images - 1
        made = generator(step.latent, step.labels).detach()
        penalty = torch.zeros(())
        for image, fake, label, share in zip(real, made, step.labels, step.share, strict=True):
            between = (share * image + (1 - share) * fake)[None].requires_grad_()
            (slope,) = torch.autograd.grad(critic(between, label[None]).sum(), between, create_graph=True)
            penalty = penalty + (slope.square().sum().sqrt() - 1) ** 2
        loss = critic(made, step.labels).mean() - critic(real, step.labels).mean() + 10 * penalty / len(real)
        _step(of_critic, loss)
        if number % n_critic == 0:
            _step(of_generator, -critic(generator(step.latent, step.labels), step.labels).mean())
        if number % (n_critic * classifier_every) == 0:
            with torch.no_grad():
                made = (generator(step.latent_of_classifier, step.labels) + 1) / 2
            both, labels = torch.cat([step.images, made]), torch.cat([step.labels, step.labels])
            _step(of_robust, nll_loss(log_softmax(robust(both), 1), labels))
            _step(of_classic, nll_loss(log_softmax(classic(step.images), 1), step.labels))


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
