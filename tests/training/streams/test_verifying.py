"""verify=true works in everything that reads a dataset."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import untrained_gans
from rich.console import Console
from small_attacks import classifier
from small_datasets import Small

from pipelines.errors import StreamError
from pipelines.settings import load
from pipelines.store.schema import MANIFEST_NAME
from training.evaluation.gans.evaluation import EvaluatedGan, GanData, GanEvaluation, evaluate_gans
from training.evaluation.robustness.evaluation import EvaluatedData, EvaluatedModel, Evaluation, evaluate
from training.executors.adversarial_datasets import AdversarialDatasets, prepare
from training.executors.generated_datasets import GeneratedDatasets, prepare_generated
from training.tracking import FoundModel

CPU = torch.device("cpu")
FOUND = FoundModel("model.pt", "model", None, Path("model.pt"))
Use = Callable[[Path, Path, bool], object]


def attack(root: Path, conf: Path, verify: bool) -> None:
    arguments = [f"data.root={root}", "snr_db=[33]", f"data.verify={str(verify).lower()}"]
    prepare(load(AdversarialDatasets, conf / "make_adversarial_datasets.yaml", arguments), FOUND, classifier())


def generate(root: Path, conf: Path, verify: bool) -> None:
    arguments = [f"data.root={root}", f"data.verify={str(verify).lower()}"]
    settings = load(GeneratedDatasets, conf / "make_generated_datasets.yaml", arguments)
    prepare_generated(settings, FOUND, untrained_gans.gan())


def evaluate_classifier(root: Path, _: Path, verify: bool) -> None:
    settings = Evaluation(models=("cnn",), data=EvaluatedData(root=str(root), verify=verify))
    evaluate(settings, {"cnn": EvaluatedModel(classifier(), None)}, CPU, Console(quiet=True))


def evaluate_generator(root: Path, _: Path, verify: bool) -> None:
    settings = GanEvaluation(runs=("gan",), data=GanData(root=str(root), verify=verify), samples=12)
    gans = {"gan": EvaluatedGan(untrained_gans.gan(), None)}
    evaluate_gans(
        settings, gans, settings.extractors(untrained_gans.classifier(), "cnn", CPU), CPU, Console(quiet=True)
    )


@pytest.mark.parametrize("use", [attack, generate, evaluate_classifier, evaluate_generator])
def test_contents_that_differ_from_the_manifest_are_never_used_silently_with_verify(
    repository: Path, tmp_path: Path, use: Use
) -> None:
    """The manifest belongs to other images of the same sizes."""
    Small({"train": [[60]], "validation": [[20]], "test": [[20]]}, size_px=8).write(tmp_path)
    (manifest,) = tmp_path.rglob(MANIFEST_NAME)
    digest = '"content_digest":"'
    manifest.write_text(manifest.read_text().replace(digest, digest + "0" * 8, 1))
    if use is not evaluate_generator:  # it would go on for seconds
        use(tmp_path, repository / "conf", False)
    with pytest.raises(StreamError, match=rf"{manifest.parent}: content digest .*, but the manifest says 0{{8}}"):
        use(tmp_path, repository / "conf", True)
