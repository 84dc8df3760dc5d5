import numpy as np
import pytest
import torch
from attacked_networks import SIZE_PX, discs, small_cnn
from torch import nn

from training.executors.errors import ExecutorError
from training.executors.score_step import ScoreStep

CPU = torch.device("cpu")


def pixels(count: int = 21) -> np.ndarray:
    images, _ = discs(count, seed=5)
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy().copy()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("batch_size", [8, 100])
def test_scores_are_the_networks_softmax(dtype: type, batch_size: int) -> None:
    shown = pixels() if dtype is np.uint8 else pixels().astype(np.float32) / np.float32(255)
    scores = ScoreStep(small_cnn(), batch_size, CPU)(shown)
    with torch.no_grad():
        logits = small_cnn()(torch.from_numpy(pixels()).permute(0, 3, 1, 2) / 255).numpy()
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_array_equal(scores.predictions, logits.argmax(1))
    np.testing.assert_allclose(scores.confidences, probabilities.max(1), rtol=1e-5)


def test_no_images_have_no_scores() -> None:
    scores = ScoreStep(small_cnn(), 8, CPU)(np.empty((0, SIZE_PX, SIZE_PX, 3), np.uint8))
    assert len(scores.predictions) == len(scores.confidences) == 0


def test_a_network_without_numbers_is_refused() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 5), torch.nan)

    with pytest.raises(ExecutorError, match="not finite"):
        ScoreStep(Broken(), 8, CPU)(pixels())
