"""Seconds of a robustness report beside those that its networks took for their predictions, in the same run:

    python benchmarks/report_robustness.py 'models=[…]' data.root=… [key=value of jobs/report_robustness.py]

For a processor: on a GPU the networks' seconds would be those of starting its kernels.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from pipelines.console import make_console
from pipelines.settings import load
from training.classifiers.opening import named, open_models, stored
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.report.run import make_report, write_report
from training.evaluation.report.settings import RobustnessReport
from training.evaluation.robustness.evaluation import EvaluatedModel

CONFIG = Path(__file__).parents[1] / "conf" / "report_robustness.yaml"
ROUNDS = 3


class Forward:
    """The seconds that networks have spent on predictions, in inference mode; saliency maps are not predictions."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self.seconds = 0.0
        self._began = 0.0
        for network in networks:
            network.register_forward_pre_hook(self._begin)
            network.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        if torch.is_inference_mode_enabled():
            self.seconds += time.perf_counter() - self._began


def main(arguments: Sequence[str]) -> None:
    settings, console = load(RobustnessReport, CONFIG, arguments), make_console()
    device, data = torch_device(settings.device), settings.data
    opened = named(open_models(settings.models, device, stored(data.root, data.geometry, data.size_px), console))
    models = {name: EvaluatedModel(one.classifier, one.found.run_id) for name, one in opened.items()}
    forward, ratios = Forward(model.classifier.network for model in models.values()), []
    for _ in range(ROUNDS):
        forward.seconds = 0.0
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            report = make_report(settings, models, device, console)
            page = write_report(settings.model_copy(update={"output_root": Path(folder)}), report, "benchmark")
            whole = time.perf_counter() - began
            megabytes = page.stat().st_size / 1e6
        first = next(iter(models))
        images = sum(len(one.labels) for (name, _), one in report.result.predictions.items() if name == first)
        ratios.append(whole / forward.seconds)
        print(
            f"{len(models)} models × {images:,} images: report {whole:.1f} s, networks {forward.seconds:.1f} s, ratio "
            f"{ratios[-1]:.2f}; page {megabytes:.2f} MB",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f} of {ROUNDS} rounds")


if __name__ == "__main__":
    main(sys.argv[1:])
