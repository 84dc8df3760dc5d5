import pytest

from training.evaluation.gans.flags import Thresholds
from training.evaluation.gans.table import GanSubject, Score, make_gan_table

HEALTHY = {"classes_covered": 0.9, "recall_task": 0.4, "label_accuracy": 0.8, "duplicates": 0.01, "copied": 0.02}


def flags(model: str = "gan", fools: bool = False, **values: float | None) -> list[str]:
    scores = [Score(metric, value, 100) for metric, value in {**HEALTHY, **values}.items()]
    table = make_gan_table([(GanSubject(model, None, "abc", "def", 28, "test"), scores)])
    return Thresholds().find_flags(table, {"gan": fools})


def test_a_healthy_generator_and_the_reference_rows_have_no_flags() -> None:
    assert flags() == []
    assert flags("uniform noise", classes_covered=0.01) == []
    assert flags(label_accuracy=None) == []
    assert flags(fools=True, label_accuracy=0.0) == []


@pytest.mark.parametrize(
    ("metric", "value", "sentence"),
    [
        ("classes_covered", 0.79, "gan: a classifier finds only 79% of the classes among its images; mode collapse"),
        ("recall_task", 0.02, "gan: only 2.0% of the real images lie among the generated ones"),
        ("label_accuracy", 0.3, "gan: a classifier predicts the requested class for only 30% of its images"),
        ("duplicates", 0.5, "gan: 50.0% of its images are duplicates of another one"),
        ("copied", 0.11, "gan: 11.0% of its images are the same as a training image; memorized training images"),
    ],
)
def test_a_value_beyond_its_threshold_is_named_with_the_threshold(metric: str, value: float, sentence: str) -> None:
    (flag,) = flags(**{metric: value})
    assert flag.startswith(sentence)
    assert flag.endswith(f"({metric} {value:.3g}, threshold {getattr(Thresholds(), metric):g})")
