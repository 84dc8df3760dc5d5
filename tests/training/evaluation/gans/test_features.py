import pytest
import torch
import untrained_gans
from torch import nn

from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.features import ClassifierFeatures, resized

CPU = torch.device("cpu")


def pixels(count: int, size_px: int = 8, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, size_px, size_px), generator=draw, dtype=torch.uint8)


def test_features_are_what_the_last_layer_makes_logits_of_and_batches_do_not_matter() -> None:
    classifier = untrained_gans.classifier()
    extractor = ClassifierFeatures(classifier, "cnn", CPU)
    found = extractor(pixels(10), batch_size=3)
    assert found.values.shape == (10, 128)
    last = [layer for layer in classifier.network.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.inference_mode():
        logits = last(torch.from_numpy(found.values))
        expected = classifier.network(pixels(10).float() / 255)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(torch.from_numpy(found.probabilities), expected.softmax(dim=1))
    assert found.predicted.tolist() == expected.argmax(dim=1).tolist()
    assert (extractor.suffix, extractor.label) == ("_task", f"cnn {classifier.digest[:12]}")


def test_images_of_another_size_are_resized_to_the_networks() -> None:
    small, large = pixels(4), pixels(4, 32)
    extractor = ClassifierFeatures(untrained_gans.classifier(16), "cnn", CPU)
    assert extractor(small).values.shape == extractor(large).values.shape
    assert resized(small.float(), 8) is not None
    torch.testing.assert_close(resized(small.float(), 8), small.float())
    flat = torch.full((1, 3, 8, 8), 0.25)
    torch.testing.assert_close(resized(flat, 13), torch.full((1, 3, 13, 13), 0.25))


def test_images_that_become_smaller_are_antialiased() -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1
    inner = resized(stripes, 8)[..., 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.05, rtol=0)


def test_a_network_without_a_linear_layer_for_its_classes_is_refused() -> None:
    classifier = untrained_gans.classifier()
    network = nn.Sequential(classifier.network[0], nn.Conv2d(3, 43, 8), nn.Flatten())
    with pytest.raises(EvaluationError, match="conv: has no linear layer of 43 classes"):
        ClassifierFeatures(Classifier(network, classifier.model, classifier.shape), "conv", CPU)


def test_features_that_are_not_finite_are_refused() -> None:
    classifier = untrained_gans.classifier()
    with torch.no_grad():
        next(classifier.network.parameters()).fill_(torch.nan)
    with pytest.raises(EvaluationError, match="cnn gives features that are not finite"):
        ClassifierFeatures(classifier, "cnn", CPU)(pixels(2))
