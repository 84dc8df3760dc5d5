"""A data set of one channel and ten classes from training to an evaluation, an attack and a refusal."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_datasets import Small
from small_runs import recipe

from pipelines.datasets.mnist import Mnist
from pipelines.errors import SettingsError
from pipelines.store.image_batches import SourceImages
from training.attacks.fgsm import Fgsm
from training.attacks.snr import SnrDb
from training.augmentation.augmentation import Augmentation
from training.classifiers.run import make_training, open_splits
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import EvaluationError, predict
from training.executors.attack_step import AttackStep
from training.gans.latents.image_to_image import ImageToImage
from training.gans.trained import GanShape, TrainedGan
from training.gans.wgan_gp import WganGp
from training.loop.ranks import Ranks
from training.streams.stream import Data, open_stream

CPU = torch.device("cpu")
PARTS = {"train": [[40, 30], [24]], "validation": [[20]], "test": [[20]]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Small(PARTS, size_px=8, card=Mnist.card).write(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="module")
def classifier(root: Path) -> Classifier:
    settings = recipe(root, augmentation=Augmentation(shift_fraction=0.1))
    ranks = Ranks(CPU)
    training = make_training(settings, ranks, *open_splits(settings, ranks))
    for _ in training.steps():
        pass
    training.finish_epoch()
    return training.classifier({"card": Mnist.card.model_dump(mode="json")})


def test_the_network_is_for_one_channel_and_the_classes_of_the_card(classifier: Classifier) -> None:
    assert (classifier.shape.channels, classifier.shape.num_classes) == (1, 10)
    assert classifier.network(torch.rand(3, 1, 8, 8)).shape == (3, 10)
    assert classifier.network[1][0].weight.shape[1] == 1


def test_a_file_of_it_is_read_and_predicts_the_same(classifier: Classifier, root: Path, tmp_path: Path) -> None:
    classifier.write(tmp_path / "model.pt")
    again = Classifier.read(tmp_path / "model.pt", CPU)
    found = predict({"one": classifier, "again": again}, Data(root=str(root), size_px=8), "test", ["clean"], CPU)
    assert found["one", "clean"].class_names == Mnist.card.class_names
    np.testing.assert_array_equal(found["one", "clean"].probabilities, found["again", "clean"].probabilities)


def test_a_data_set_of_other_channels_or_other_classes_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    colour = Small(PARTS, size_px=8).write(tmp_path / "colour")
    names = tuple("abcdefghij")
    letters = Small(PARTS, size_px=8, card=Mnist.card.model_copy(update={"class_names": names, "name": "letters"}))
    for other, said in ((colour, "1 channel"), (letters.write(tmp_path / "letters"), "classes of mnist")):
        with pytest.raises(EvaluationError, match=said):
            predict({"one": classifier}, Data(root=str(other), size_px=8), "test", ["clean"], CPU)


def test_an_attack_changes_its_one_channel(classifier: Classifier) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    ids = [f"test/{number}" for number in range(6)]
    source = SourceImages(ids, np.arange(6, dtype=np.int32), ids, pixels)
    step = AttackStep(classifier.network, Fgsm(), {"fgsm-snr20": SnrDb(20.0)}, 0, 4, CPU)
    (made,) = step(source)
    assert made.pixels.shape == pixels.shape and made.pixels.dtype == np.float32
    assert not np.array_equal(made.pixels, pixels.astype(np.float32) / 255)


def test_a_gan_makes_images_of_one_channel_unless_its_input_is_an_image(root: Path, tmp_path: Path) -> None:
    shape = GanShape.of(open_stream(Data(root=str(root), size_px=8), "train", seed=0, batch_size=8))
    assert shape == GanShape(8, 10, tuple(range(10)), channels=1)
    gan = WganGp(width=2)
    generator, critic = shape.build(gan, 0)
    trained = TrainedGan(generator, gan, shape)
    labels = torch.tensor([3, 1])
    made = trained.sample(labels, torch.Generator().manual_seed(0))
    assert made.shape == (2, 1, 8, 8)
    assert critic(made, labels).shape == (2,)
    trained.write(tmp_path / "generator.pt")
    again = TrainedGan.read(tmp_path / "generator.pt", CPU)
    assert again.shape == shape
    assert torch.equal(again.sample(labels, torch.Generator().manual_seed(0)), made)
    with pytest.raises(SettingsError, match=r"gan\.latent=image_to_image: has three channels, the images have 1"):
        shape.build(WganGp(latent=ImageToImage()), 0)
