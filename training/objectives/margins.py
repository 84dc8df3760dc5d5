"""How sure a network is of a label, as a number per image that does not saturate."""

import torch

__all__ = ["log_odds", "margin"]


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, C) logits and (N,) labels → log Σ_{k≠y} exp z_k − z_y, (N,), of which cross entropy is the softplus: it has
    the same order and, up to a positive factor, the same gradient, but neither reaches float32's limits where the
    network is sure of itself."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - _of_label(logits, labels)


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, C) logits and (N,) labels → max_{k≠y} z_k − z_y, (N,): positive where another class wins."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - _of_label(logits, labels)


def _of_label(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, labels[:, None])[:, 0]
