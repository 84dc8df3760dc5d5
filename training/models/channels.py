"""A network for images of three channels as one for another number of channels."""

import torch
from torch import nn

__all__ = ["for_channels"]


def for_channels(network: nn.Module, first: str, channels: int) -> nn.Module:
    """`network`, with its convolution `first`, which has no bias, replaced by one for `channels` channels if it is for
    another number. The weights of the new one are those of the first channels, so an initialization by the outputs of a
    layer (He et al. 2015, fan_out) stays as it is."""
    old = network.get_submodule(first)
    assert isinstance(old, nn.Conv2d)
    if channels == old.in_channels:
        return network
    (height, width), stride, padding = old.kernel_size, old.stride[0], int(old.padding[0])
    new = nn.Conv2d(channels, old.out_channels, (height, width), stride, padding, bias=False)
    with torch.no_grad():
        new.weight.copy_(old.weight[:, :channels])
    network.set_submodule(first, new)
    return network
