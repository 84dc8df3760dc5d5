"""Seconds of a robustness report beside those of its bare forward passes, in turns:

    python benchmarks/report_robustness.py 'models=[…]' data.root=… [key=value of jobs/report_robustness.py]

The bare passes are of random images: as many as the report predicts, of the same size and in the same batches.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pipelines.console import make_console
from pipelines.settings import load
from training.classifiers.opening import named, open_models, stored
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.report.run import make_report, write_report
from training.evaluation.report.settings import RobustnessReport
from training.evaluation.robustness.evaluation import EvaluatedModel

CONFIG = Path(__file__).parents[1] / "conf" / "report_robustness.yaml"
ROUNDS = 3


def bare(models: Mapping[str, EvaluatedModel], images: int, batch_size: int, device: torch.device) -> float:
    """Seconds to predict `images` with each of the models."""
    began = time.perf_counter()
    with torch.inference_mode():
        for model in models.values():
            shape = model.classifier.shape
            batch = torch.rand(batch_size, shape.channels, shape.size_px, shape.size_px, device=device)
            batch = batch.contiguous(memory_format=torch.channels_last)
            for first in range(0, images, batch_size):
                model.classifier.network(batch[: images - first]).argmax(1).cpu()
    return time.perf_counter() - began


def main(arguments: Sequence[str]) -> None:
    settings, console = load(RobustnessReport, CONFIG, arguments), make_console()
    device, data = torch_device(settings.device), settings.data
    opened = named(open_models(settings.models, device, stored(data.root, data.geometry, data.size_px), console))
    models = {name: EvaluatedModel(one.classifier, one.found.run_id) for name, one in opened.items()}
    ratios = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            report = make_report(settings, models, device, console)
            page = write_report(settings.model_copy(update={"output_root": Path(folder)}), report, "benchmark")
            whole = time.perf_counter() - began
            megabytes = page.stat().st_size / 1e6
        first = next(iter(models))
        images = sum(len(one.labels) for (name, _), one in report.result.predictions.items() if name == first)
        alone = bare(models, images, settings.batch_size, device)
        ratios.append(whole / alone)
        print(
            f"{len(models)} models × {images:,} images: report {whole:.1f} s, forward passes {alone:.1f} s, ratio "
            f"{ratios[-1]:.2f}; page {megabytes:.2f} MB",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f} of {ROUNDS} rounds")


if __name__ == "__main__":
    main(sys.argv[1:])
