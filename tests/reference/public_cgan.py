"""Conditional GANs in plain PyTorch: the paper's networks, and those of the public code that its figures come from
(github.com/eriklindernoren/PyTorch-GAN, implementations/cgan/cgan.py), written from their descriptions."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

LR, BETAS = 0.0002, (0.5, 0.999)


class PlainGenerator(nn.Module):
    """Both sources' generator: (embedding of the class, noise) → 128, 256, 512, 1024 and the image."""

    def __init__(self, classes: int, values: int, noise: int = 100) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(classes, classes)
        self.l1 = nn.Linear(noise + classes, 128)
        self.l2, self.n2 = nn.Linear(128, 256), nn.BatchNorm1d(256, 0.8)
        self.l3, self.n3 = nn.Linear(256, 512), nn.BatchNorm1d(512, 0.8)
        self.l4, self.n4 = nn.Linear(512, 1024), nn.BatchNorm1d(1024, 0.8)
        self.l5 = nn.Linear(1024, values)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        def leaky(values: torch.Tensor) -> torch.Tensor:
            return torch.where(values > 0, values, 0.2 * values)

        hidden = leaky(self.l1(torch.cat([noise, self.label_emb(labels)], -1)))
        hidden = leaky(self.n2(self.l2(hidden)))
        hidden = leaky(self.n3(self.l3(hidden)))
        hidden = leaky(self.n4(self.l4(hidden)))
        return torch.tanh(self.l5(hidden))


class PlainDiscriminator(nn.Module):
    """The paper's: 512, 256, 1, of the image and the embedding of the class; without its sigmoid."""

    def __init__(self, classes: int, values: int) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(classes, classes)
        self.l1, self.l2, self.l3 = nn.Linear(values + classes, 512), nn.Linear(512, 256), nn.Linear(256, 1)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hidden = torch.cat([images.flatten(1), self.label_emb(labels)], -1)
        for layer in (self.l1, self.l2):
            hidden = layer(hidden)
            hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
        return self.l3(hidden)[:, 0]


class PublicDiscriminator(nn.Module):
    """The public code's: three layers of 512, the second and the third with dropout 0.4 before LeakyReLU."""

    def __init__(self, classes: int, values: int) -> None:
        super().__init__()
        self.label_embedding = nn.Embedding(classes, classes)
        self.model = nn.Sequential(
            nn.Linear(classes + values, 512), nn.LeakyReLU(0.2),
            nn.Linear(512, 512), nn.Dropout(0.4), nn.LeakyReLU(0.2),
            nn.Linear(512, 512), nn.Dropout(0.4), nn.LeakyReLU(0.2),
            nn.Linear(512, 1),
        )  # fmt: skip

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.model(torch.cat((images.flatten(1), self.label_embedding(labels)), -1))
        return values[:, 0]


class Twin(NamedTuple):
    generator: nn.Module
    discriminator: nn.Module
    public: bool


def twin(public: bool, classes: int, values: int, seed: int) -> Twin:
    torch.manual_seed(seed)
    of = PublicDiscriminator if public else PlainDiscriminator
    return Twin(PlainGenerator(classes, values), of(classes, values), public)


def twin_steps(players: Twin, images: torch.Tensor, labels: torch.Tensor, batch: int, seed: int) -> Iterator[None]:
    """Trains forever on images (N, values) in [-1, 1]: the paper's cross entropy and the labels of the real images, or
    the public code's squares and labels that are drawn uniformly."""
    draws = torch.Generator().manual_seed(seed)
    of_generator, of_discriminator = (torch.optim.Adam(player.parameters(), LR, BETAS) for player in players[:2])
    loss = nn.MSELoss() if players.public else nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch), torch.zeros(batch)
    while True:
        for rows in torch.randperm(len(images), generator=draws).split(batch):
            if len(rows) < batch:
                continue
            real, asked = images[rows], labels[rows]
            if players.public:
                asked = torch.randint(int(labels.max()) + 1, (batch,), generator=draws)
            made = players.generator(torch.randn(batch, 100, generator=draws), asked)
            total = loss(players.discriminator(real, labels[rows]), ones)
            total = total + loss(players.discriminator(made.detach(), asked), zeros)
            of_discriminator.zero_grad()
            (total / 2 if players.public else total).backward()
            of_discriminator.step()
            of_generator.zero_grad()
            loss(players.discriminator(made, asked), ones).backward()
            of_generator.step()
            yield
