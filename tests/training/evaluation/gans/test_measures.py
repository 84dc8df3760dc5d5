from collections.abc import Sequence

import numpy as np
import pytest
import torch
import untrained_gans

from training.evaluation.gans.cas import Cas
from training.evaluation.gans.features import ClassifierFeatures, Extractor
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.evaluation.gans.measures import ImageSet, Measures, Neighbours, RealImages, describe_images
from training.evaluation.gans.table import Score
from training.models.baseline_cnn import BaselineCnn

CPU = torch.device("cpu")
MEASURES = Measures(kid_subsets=3, kid_subset_size=50, inception_splits=2)


def held(count: int, seed: int, classes: int = 4) -> ImagesInMemory:
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return ImagesInMemory(pixels, torch.arange(count) % classes, classes, str(seed))


@pytest.fixture(scope="module")
def extractors() -> Sequence[Extractor]:
    return [ClassifierFeatures(untrained_gans.classifier(classes=4), "cnn", CPU)]


@pytest.fixture(scope="module")
def real(extractors: Sequence[Extractor]) -> RealImages:
    train, test = (describe_images(held(count, seed), extractors, 64) for count, seed in ((170, 0), (150, 1)))
    return RealImages(train, test, extractors, 4)


def measured(
    images: ImagesInMemory, real: RealImages, conditional: bool = True, measures: Measures = MEASURES
) -> dict[str, Score]:
    made = describe_images(images, real.extractors, 64)
    scores = measures(made, Neighbours.of(made, real.train), real, conditional, 0, CPU)
    return {score.metric: score for score in scores}


def test_every_measure_is_there_under_a_name_that_says_whose_features_it_is_of(real: RealImages) -> None:
    found = measured(held(160, 2), real)
    assert list(found) == [
        "fid_task", "kid_task", "inception_score_task", "precision_task", "recall_task", "density_task",
        "coverage_task", "classes_covered", "class_entropy", "label_accuracy", "duplicates", "copied",
        "nearer_to_training",
    ]  # fmt: skip
    assert all(score.n == 160 and score.value is not None for score in found.values())
    assert {found[name].n_real for name in ("fid_task", "kid_task", "recall_task", "classes_covered")} == {150}
    assert {found[name].n_real for name in ("copied", "nearer_to_training")} == {170}
    assert (found["kid_task"].note, found["inception_score_task"].note) == ("subsets of 50", "splits of 80")
    assert (found["duplicates"].value, found["copied"].value) == (0, 0)
    assert {score.extractor for score in found.values()} == {real.extractors[0].label}


def test_where_images_are_too_few_the_note_says_why_there_is_no_value(real: RealImages) -> None:
    found = measured(held(100, 2), real)
    fid = found["fid_task"]
    assert (fid.value, fid.note) == (None, "100 images are too few for features of 128 dimensions; use KID")
    assert found["kid_task"].value is not None


def test_copies_of_training_images_are_told_from_like_images(real: RealImages) -> None:
    copies = held(170, 0).drawn(160, np.random.default_rng(0))
    found = measured(copies, real)
    assert found["copied"].value == 1
    assert found["nearer_to_training"].value == 1
    almost = copies._replace(pixels=copies.pixels.int().add(1).clamp(max=255).to(torch.uint8))
    assert measured(almost, real)["copied"].value == 1
    like = measured(held(160, 2), real)
    assert like["copied"].value == 0
    assert like["nearer_to_training"].value == pytest.approx(0.5, abs=0.1)


def test_a_generator_of_one_image_is_told_from_one_of_many(real: RealImages) -> None:
    one = held(160, 2)
    found = measured(one._replace(pixels=one.pixels[:1].expand(160, -1, -1, -1).contiguous()), real)
    assert found["duplicates"].value == 1
    assert found["class_entropy"].value == 0
    assert found["recall_task"].value == 0
    assert found["classes_covered"].value == 0.25
    assert found["classes_covered"].note is not None and found["classes_covered"].note.startswith("hardly any of")


def test_the_score_of_a_trained_classifier_needs_labels(real: RealImages) -> None:
    measures = MEASURES.model_copy(update={"cas": Cas(model=BaselineCnn(), epochs=1)})
    found = measured(held(160, 2), real, measures=measures)["cas"]
    assert found.value is not None and found.low is not None and found.low <= found.value
    assert (found.n, found.n_real) == (160, 150)
    unconditional = measured(held(160, 2), real, conditional=False, measures=measures)
    for name in ("cas", "label_accuracy"):
        assert unconditional[name].value is None
        assert unconditional[name].note == "the generator is not conditional, so its images have no labels"


def test_label_accuracy_is_the_share_of_images_that_the_classifier_takes_for_what_was_asked(real: RealImages) -> None:
    images = held(160, 2)
    predicted = real.extractors[0](images.pixels).predicted
    assert measured(images._replace(labels=torch.from_numpy(predicted)), real)["label_accuracy"].value == 1
    wrong = torch.from_numpy((predicted + 1) % 4)
    assert measured(images._replace(labels=wrong), real)["label_accuracy"].value == 0


def test_neighbours_of_images_among_themselves_leave_each_out(extractors: Sequence[Extractor]) -> None:
    images: ImageSet = describe_images(held(40, 5), extractors, 64)
    found = Neighbours.of(images, None)
    assert found.rows.shape == (40, 4)
    assert not (found.rows == np.arange(40)[:, None]).any()
    assert (found.differences > 0.1).all()
    itself = Neighbours.of(images, images)
    assert itself.rows[:, 0].tolist() == list(range(40))
    assert itself.differences.tolist() == [0] * 40
