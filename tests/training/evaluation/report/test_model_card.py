"""Model cards: what a reader of the Hub's format finds in them, and what they say of a network in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from attacked_predictions import predicted
from ladder_predictions import predictions, subject
from small_datasets import CARD

from training.classifiers.trained import Classifier, Shape
from training.evaluation.report.model_card import model_card, write_model_cards
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.models.baseline_cnn import BaselineCnn

SHAPE = Shape(8, 4, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
ABOUT: dict[str, Any] = {
    "settings": {
        "model": {"kind": "baseline_cnn"}, "seed": 3, "runs_root": "/home/me/runs", "tracking": {"experiment": "x"},
        "data": {"root": "/home/me/gtsrb", "geometry": "resize", "mixture": {"clean": 0.5, "gaussian-max": 0.5}},
    },
    "datasets": {"clean": "a1" * 32, "gaussian-max": "b2" * 32},
    "card": CARD.model_dump(mode="json"),
    "run_id": "run-7",
}  # fmt: skip


def network(about: dict[str, Any] | None = None, run: str | None = "run-7") -> EvaluatedModel:
    given = ABOUT if about is None else about
    return EvaluatedModel(Classifier(SHAPE.build(BaselineCnn(), 0).eval(), BaselineCnn(), SHAPE, given), run)


def split_card(text: str) -> tuple[dict[str, Any], str]:
    begin, facts, body = text.split("---\n", 2)
    assert begin == ""
    return yaml.safe_load(facts), body


def test_the_front_matter_is_a_model_index_with_every_accuracy() -> None:
    one = subject("A", 20.0)
    facts, _ = split_card(model_card(network(), one, 0, CARD, "test"))
    assert list(facts) == [
        "license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index",
    ]  # fmt: skip
    assert (facts["license"], facts["datasets"], facts["metrics"]) == ("unknown", ["small"], ["accuracy"])
    assert "&" not in model_card(network(), one, 0, CARD, "test").split("---\n")[1], (
        "an anchor, which few readers expect"
    )
    (index,) = facts["model-index"]
    assert index["name"] == "cnn-seed0"
    assert [result["dataset"]["config"] for result in index["results"]] == list(one.found)
    for result in index["results"]:
        found = one.found[result["dataset"]["config"]][0]
        assert result["task"] == {"type": "image-classification"}
        assert result["dataset"]["revision"] == found.dataset_digest
        assert (result["dataset"]["type"], result["dataset"]["split"]) == ("small", "test")
        (metric,) = result["metrics"]
        assert metric["type"] == "accuracy"
        assert metric["value"] == pytest.approx(float(found.right.mean()), abs=1e-6)
        interval = found.units.proportion(found.right)
        assert f"{100 * interval.low:.1f} – {100 * interval.high:.1f} %, by physical object" in metric["name"]


def test_the_text_has_digests_recipe_accuracies_and_limits() -> None:
    one = subject("A", 20.0)
    model = network()
    _, body = split_card(model_card(model, one, 0, CARD, "test"))
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        "# cnn-seed0", "## Intended use", "## Training", "## Accuracy", "## Limits",
    ]  # fmt: skip
    assert model.classifier.digest in body
    assert "- run: run-7" in body
    assert f"| gaussian-max | 0.5 | `{'b2' * 32}` |" in body
    recipe = yaml.safe_load(body.split("```yaml\n")[1].split("```")[0])
    assert recipe == {
        "model": {"kind": "baseline_cnn"}, "seed": 3,
        "data": {"geometry": "resize", "mixture": {"clean": 0.5, "gaussian-max": 0.5}},
    }  # fmt: skip
    found = one.found["gaussian-avg"][0]
    interval = found.units.proportion(found.right)
    assert (
        f"| gaussian-avg | standard deviation 20 grey levels | {found.snr_db:.1f} | {100 * interval.value:.1f} "
        f"| {100 * interval.low:.1f} – {100 * interval.high:.1f} | 400 | 40 |"
    ) in body
    assert "- A single seed: " in body
    worst = min(one.found, key=lambda variant: one.found[variant][0].right.mean())
    assert f"%, under {worst}." in body
    assert "evidence for" in body
    assert "compl" not in body


def test_each_seed_has_its_own_accuracies_and_that_of_the_recipe() -> None:
    three = subject("A", 15.0, 20.0, 40.0)
    texts = [model_card(network(), three, place, CARD, "test") for place in range(3)]
    values = [split_card(text)[0]["model-index"][0]["results"][3]["metrics"][0]["value"] for text in texts]
    assert values == sorted(values)
    assert len(set(values)) == 3
    clean = three.accuracy("clean")
    for place, text in enumerate(texts):
        assert f"network {place + 1} of 3 of recipe A cnn" in text
        assert f"Over the 3 seeds of the recipe, clean images: {100 * clean.value:.1f} % right" in text
        assert "single seed" not in text


def test_adversarial_images_are_on_the_card_of_the_network_that_they_were_made_for() -> None:
    two = subject("A", 20.0, 21.0)
    attacked = replace(predicted([False, True, False, False], "fgsm-snr33"), variant="fgsm|snr33")
    two = two._replace(attacked={"fgsm|snr33": attacked})
    first, second = (model_card(network(), two, place, CARD, "test") for place in range(2))
    assert "| fgsm\\|snr33 | attack |  | 25.0 | " in first
    assert "It is not known which images show one object" in first
    assert "It was not shown adversarial images." in second
    assert "fgsm" not in second


def test_a_network_from_outside_has_no_recipe_and_says_so() -> None:
    one = Subject(
        "A", "net", ["net.onnx"], {"clean": [predictions(subject("A", 9.0).found["clean"][0].right, 0.0)]}, {}
    )
    facts, body = split_card(model_card(network({}, None), one, 0, CARD, "test"))
    assert "datasets" not in facts
    assert "Nothing is recorded" in body
    assert "- run: not tracked" in body


def test_weights_teachers_and_leaks_are_named() -> None:
    about = {**ABOUT, "weights": {"file": "w.pth", "sha256": "c3" * 32}, "teachers": ["d4" * 32]}
    text = model_card(network(about), subject("A", 20.0), 0, CARD, "test", ["2 groups are in test and train"], "mit")
    assert f"the weights w.pth, SHA-256 `{'c3' * 32}`" in text
    assert f"`{'d4' * 32}`" in text
    assert "- 2 groups are in test and train" in text
    assert split_card(text)[0]["license"] == "mit"
    assert "licence of the weights: not declared" not in text


def test_one_file_for_each_network(tmp_path: Path) -> None:
    subjects = [subject("A", 15.0, 20.0), subject("B", 30.0, name="path/to other")]
    models = {name: network() for one in subjects for name in one.models}
    paths = write_model_cards(tmp_path / "cards", subjects, models, CARD, "test")
    assert [path.name for path in paths] == ["cnn-seed0.md", "cnn-seed1.md", "path_to_other-seed0.md"]
    assert all(path.read_text().startswith("---\nlicense: unknown\n") for path in paths)
