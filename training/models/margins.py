"""Per-image margins of a prediction that do not saturate."""

import torch

__all__ = ["log_odds", "margin"]


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, C) logits and (N,) labels → log Σ_{k≠y} exp z_k − z_y, (N,). Cross entropy is the softplus of this value, so
    both have the same order and, up to a positive factor, the same gradient; but this value does not reach the limits
    of float32 for confident predictions."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - _of_label(logits, labels)


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N, C) logits and (N,) labels → max_{k≠y} z_k − z_y, (N,): positive if another class has the largest logit."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - _of_label(logits, labels)


def _of_label(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, labels[:, None])[:, 0]
