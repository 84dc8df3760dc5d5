"""A linear binary classifier in the plane: what DeepFool measures, where it is known (slides, Figure 2)."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from training.attacks.deepfool import Deepfool
from training.attacks.labelled_images import LabelledImages

__all__ = ["Plane", "in_the_plane", "plane_figure"]

NORMAL, OFFSET = (1.0, 0.6), -0.8
POINT = (0.8, 0.75)
Floats = NDArray[np.float64]


class Plane(NamedTuple):
    """f(x) = w · x + b for points x in the unit square: `point` x₀, its orthogonal `projection` x₀ − f(x₀) w / ‖w‖² on
    the line f = 0, and `iterate`, DeepFool's result without overshoot."""

    normal: Floats
    offset: float
    point: Floats
    projection: Floats
    iterate: Floats

    @property
    def distance(self) -> float:
        """|f(x₀)| / ‖w‖."""
        return float(abs(self.normal @ self.point + self.offset) / np.linalg.norm(self.normal))


def in_the_plane(
    normal: tuple[float, float] = NORMAL, offset: float = OFFSET, point: tuple[float, float] = POINT
) -> Plane:
    """Computed by training.attacks.deepfool on a network of one dense layer, whose logits are f and 0."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([normal, (0.0, 0.0)]))
        layer.bias.copy_(torch.tensor([offset, 0.0]))
    network = nn.Sequential(nn.Flatten(), layer).eval()
    image = torch.tensor(point, dtype=torch.float32).view(1, 1, 1, 2)
    examples = LabelledImages(image, network(image).argmax(1), ["x0"])
    iterate = Deepfool(overshoot=0.0)(network, examples).images.flatten().double().numpy()
    w, x = np.array(normal), np.array(point)
    return Plane(w, offset, x, x - (w @ x + offset) * w / (w @ w), iterate)


def plane_figure(plane: Plane) -> Figure:
    """The half planes of both classes, x₀, its projection and DeepFool's result."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axis = figure.subplots()
    side = np.linspace(0, 1, 201)
    x, y = np.meshgrid(side, side)
    axis.contourf(
        x, y, plane.normal[0] * x + plane.normal[1] * y + plane.offset, [-9, 0, 9], colors=["#f4d9cf", "#d3e4f0"]
    )
    axis.contour(x, y, plane.normal[0] * x + plane.normal[1] * y + plane.offset, [0], colors="0.3")
    axis.plot(*zip(plane.point, plane.projection, strict=True), color="#2166ac")
    axis.plot(*plane.point, "o", color="#2166ac", label="$x_0$")
    axis.plot(*plane.projection, "s", color="#1b7837", markersize=9, fillstyle="none", label="orthogonal projection")
    axis.plot(*plane.iterate, "x", color="#b2182b", label="DeepFool without overshoot")
    moved = float(np.linalg.norm(plane.iterate - plane.point))
    axis.set(aspect="equal", xlabel="first pixel", ylabel="second pixel")
    axis.set_title(f"$|f(x_0)| / ‖w‖$ = {plane.distance:.4f}, DeepFool {moved:.4f}", fontsize=10)
    axis.legend(loc="lower left", fontsize=8)
    return figure
