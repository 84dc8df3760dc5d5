from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from attacked_predictions import NETWORK, write_attacked
from rich.console import Console
from small_attacks import classifier
from small_datasets import Small

from pipelines.errors import StreamError
from pipelines.store.shown import Shown
from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.evaluation.classifiers.table import tracked_metrics
from training.evaluation.robustness.evaluation import (
    EvaluatedData,
    EvaluatedModel,
    Evaluation,
    Result,
    evaluate,
    write_result,
)

SMALL = Small({"test": [[5, 4]]}, ("clean", "gaussian-max"), size_px=8)


def evaluated(tmp_path: Path) -> tuple[Evaluation, dict[str, EvaluatedModel], Result]:
    """A network on nine images, clean, noisy, and attacked by two networks, of which it is one."""
    root = SMALL.write(tmp_path / "signs")
    models = {"cnn": EvaluatedModel(classifier(), None)}
    for network in (models["cnn"].classifier.digest, NETWORK):
        write_attacked(SMALL, root, "fgsm-snr33", network, {"snr_db": 33.0})
    settings = Evaluation(models=("cnn",), data=EvaluatedData(root=str(root)), output_root=tmp_path / "out")
    return settings, models, evaluate(settings, models, torch.device("cpu"), Console(quiet=True))


def as_if(found: Predictions, offset: int) -> Predictions:
    """Predicted so many classes beside the label."""
    predicted = (found.labels + offset) % 43
    return replace(found, predicted=predicted, probabilities=np.eye(43, dtype=np.float32)[predicted])


def test_misclassified_images_are_drawn_beside_their_originals(tmp_path: Path) -> None:
    settings, models, result = evaluated(tmp_path)
    transfer = f"fgsm_transfer_{NETWORK[:12]}-snr33"
    turned = {place: as_if(found, int(place[1] != "clean")) for place, found in result.predictions.items()}
    folder = write_result(settings, models, result._replace(predictions=turned))
    drawn = {path.name for path in (folder / "cnn" / "figures").glob("flipped-*.png")}
    assert drawn == {f"flipped-{variant}.png" for variant in ("fgsm-snr33", transfer, "gaussian-max")}


def test_flags_of_an_earlier_evaluation_are_removed(tmp_path: Path) -> None:
    settings, models, result = evaluated(tmp_path)
    folder = write_result(settings, models, result._replace(flags=("cnn: accuracy rises", "cnn: is random")))
    assert (folder / "flags.txt").read_text() == "cnn: accuracy rises\ncnn: is random\n"
    write_result(settings, models, result._replace(flags=()))
    assert not (folder / "flags.txt").exists()


def test_noise_and_level_come_from_the_manifests_not_from_the_folders(tmp_path: Path) -> None:
    """Taken apart, these names would say other noises, other levels, a strength, or a generated variant."""
    recorded = {
        "clean": Shown(),
        "snr-like": Shown("gaussian", "eps1"),
        "gan-blur": Shown("blur", "min"),
        "fgsm-snr33": Shown("periodic", "snr-33"),
    }
    root = tmp_path / "signs"
    for name, shown in recorded.items():
        replace(SMALL, variants=(name,), fingerprint=shown.facts).write(root)
    deepfool = Shown("deepfool_overshoot_1e-05", "none")
    models = {"cnn": EvaluatedModel(classifier(), None)}
    for network in (models["cnn"].classifier.digest, NETWORK):
        write_attacked(SMALL, root, deepfool.noise, network, None, recorded=deepfool)
    settings = Evaluation(models=("cnn",), data=EvaluatedData(root=str(root)))
    result = evaluate(settings, models, torch.device("cpu"), Console(quiet=True))
    found = [(row["noise"], row["level"]) for row in result.table.to_pylist() if row["metric"] == "accuracy"]
    transfer = f"deepfool_overshoot_1e-05_transfer_{NETWORK[:12]}"
    assert sorted(found) == [
        ("blur", "min"), ("deepfool_overshoot_1e-05", "none"), (transfer, "none"), ("gaussian", "eps1"),
        ("none", "none"), ("periodic", "snr-33"),
    ]  # fmt: skip
    names = {name for name in tracked_metrics(result.table, "cnn") if name.startswith("accuracy/")}
    assert names == {
        "accuracy/clean", "accuracy/gaussian-eps1", "accuracy/blur-min", "accuracy/periodic-snr-33",
        "accuracy/deepfool_overshoot_1e-05", f"accuracy/{transfer}",
    }  # fmt: skip
    assert {f"accuracy/{variant}" for _, variant in result.predictions} == names
    assert result.curves == []


def test_two_variants_that_are_the_same_by_their_manifests_are_refused(tmp_path: Path) -> None:
    root = replace(SMALL, variants=("copy", "gaussian-max"), fingerprint=Shown("gaussian", "max").facts).write(tmp_path)
    settings = Evaluation(models=("cnn",), data=EvaluatedData(root=str(root)))
    models = {"cnn": EvaluatedModel(classifier(), None)}
    with pytest.raises(EvaluationError, match=r"copy and gaussian-max are both gaussian-max by their manifests"):
        evaluate(settings, models, torch.device("cpu"), Console(quiet=True))


def test_a_variant_without_images_of_the_split_is_left_out_and_named(tmp_path: Path) -> None:
    """As the attacks of a retraining, which are on validation images alone."""
    Small({"validation": [[5]], "test": [[5, 4]]}, size_px=8).write(tmp_path)
    Small({"validation": [[5]]}, ("attacked",), size_px=8).write(tmp_path)
    models = {"cnn": EvaluatedModel(classifier(), None)}
    settings = Evaluation(models=("cnn",), data=EvaluatedData(root=str(tmp_path)))
    said = StringIO()
    result = evaluate(settings, models, torch.device("cpu"), Console(file=said))
    assert {variant for _, variant in result.predictions} == {"clean"}
    assert "left out, since they have no test images: attacked" in said.getvalue()
    asked = settings.model_copy(update={"variants": ("attacked",)})
    with pytest.raises(StreamError, match="split test has no images"):
        evaluate(asked, models, torch.device("cpu"), Console(quiet=True))
    nothing = settings.model_copy(update={"split": "train"})
    with pytest.raises(StreamError, match="split train has no images"):
        evaluate(nothing, models, torch.device("cpu"), Console(quiet=True))
