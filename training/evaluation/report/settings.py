"""The settings of a robustness report."""

from pathlib import Path

from pydantic import Field

from pipelines.settings import LocalPath, StorePath
from training.evaluation.report.hazards import Hazards
from training.evaluation.report.model_card import LICENCE
from training.evaluation.robustness.settings import ShownImages
from training.evaluation.robustness.thresholds import Criterion
from training.evaluation.saliency.settings import Saliency

__all__ = ["RobustnessReport"]


class RobustnessReport(ShownImages):
    """`names` are those of the recipes in the report, in the order of `models`; without them names are made from the
    runs'. `failure` is when a network counts as failed. `hazards` are costs of confusions, from the menu in
    conf/hazards/; None: no such section. `examples` is how many classes are shown with images that fail first; 0: none.
    `saliency`: maps of images of each recipe. `generated` is how many images of each variant that a generator made are
    shown to the networks; 0: none. `certificates` are folders that jobs/certify_classifier.py made of networks in the
    report. `licence` is that of the weights, as an identifier of the Hugging Face Hub, for the model cards."""

    output_root: StorePath = Path("data/reports")
    names: tuple[str, ...] = ()
    failure: Criterion = Criterion()
    hazards: Hazards | None = None
    examples: int = Field(default=8, ge=0, le=43)
    saliency: Saliency = Saliency(images=3)
    generated: int = Field(default=1000, ge=0)
    certificates: tuple[LocalPath, ...] = ()
    licence: str = Field(default=LICENCE, pattern=r"^[a-z0-9.-]+$")
