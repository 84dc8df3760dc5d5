import itertools

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets.synthetic_drawing import SIGNS, Making, draw_template
from pipelines.datasets.synthetic_frame import draw_scene, photograph, subject
from pipelines.datasets.synthetic_wear import Wear

CLASSES = 43


def test_every_two_signs_are_clearly_different() -> None:
    assert len(SIGNS) == CLASSES
    templates = [draw_template(class_id).image for class_id in range(CLASSES)]
    grey = Image.new("RGBA", templates[0].size, (128, 128, 128, 255))
    images = [Image.alpha_composite(grey, template).convert("RGB") for template in templates]
    pixels = np.stack([np.asarray(image.resize((64, 64)), dtype=np.float64) for image in images])
    for one, other in itertools.combinations(range(CLASSES), 2):
        assert np.abs(pixels[one] - pixels[other]).mean() > 2, (one, other)


@pytest.mark.parametrize(("left", "right"), [(19, 20), (34, 33), (37, 36), (39, 38)])
def test_mirrored_signs_are_each_others_mirror_images(left: int, right: int) -> None:
    mirrored = np.asarray(draw_template(right).image)[:, ::-1].astype(int)
    assert np.abs(mirrored - np.asarray(draw_template(left).image)).mean() < 1


@pytest.mark.parametrize("class_id", range(CLASSES))
def test_the_forms_of_a_sign_differ_in_its_pictogram_alone(class_id: int) -> None:
    forms = [draw_template(class_id, Making(form=form)) for form in range(len(SIGNS[class_id].pictograms))]
    for form in forms:
        assert form.image.getchannel("A").tobytes() == forms[0].image.getchannel("A").tobytes()
        assert np.array_equal(form.outline, forms[0].outline)


def test_the_region_of_interest_is_where_the_sign_is() -> None:
    """A dark rim in front of a white wall, in even light, without blur and noise."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scene = draw_scene(rng)
        camera = scene.camera._replace(
            gain=np.ones(3, np.float32),
            backlight=1.0,
            flare_grey=np.zeros(3, np.float32),
            defocus_px=0.0,
            motion_fraction=(0.0, 0.0),
            halo=0.0,
            noise_grey=np.zeros((96, 96, 3), np.float32),
        )
        scene = scene._replace(
            making=Making(colours={"white": (20, 20, 20)}),
            wear=Wear(Image.new("RGBA", (80, 80)), 0, 0),
            background=Image.new("RGB", (96, 96), "white"),
            shade=Image.new("L", (32, 32), 255),
            fringe=(0, 0),
            has_pole=False,
            camera=camera,
        )
        image, (x1, y1, x2, y2), *_ = photograph(subject(15, scene), scene, 60, rng)
        rows, columns = np.nonzero(image.min(axis=2) < 130)
        seen = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        assert np.abs(seen - (x1, y1, x2, y2)).max() <= 1
        assert max(x2 - x1, y2 - y1) + 1 == 60


def test_brightness_is_distributed_as_that_of_gtsrb() -> None:
    """Against quantiles of the mean grey of the signs in the training images of the whole GTSRB."""
    rng = np.random.default_rng(0)
    means = []
    for number in range(10 * CLASSES):
        scene = draw_scene(rng)
        image, (x1, y1, x2, y2), *_ = photograph(subject(number % CLASSES, scene), scene, 24, rng)
        means.append(image[y1 : y2 + 1, x1 : x2 + 1].mean())
    assert np.quantile(means, [0.05, 0.25, 0.5, 0.75, 0.95]) == pytest.approx([22, 48, 78, 116, 176], rel=0.2)
