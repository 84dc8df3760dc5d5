"""The settings of jobs/train_classifier.py."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from pipelines.settings import AddedLater, PathOrName, Settings, StorePath, choose, decisive_values, describe
from training.augmentation.augmentation import Augmentation
from training.classifiers.optimization import Optimization
from training.models import MODELS, Model
from training.objectives import OBJECTIVES, CrossEntropy, Objective
from training.regularizers import Parseval, Smoothness
from training.streams.beside import Beside
from training.streams.stream import Cache, Data
from training.tracking import Tracking

__all__ = ["WITHOUT_EFFECT", "WITHOUT_EFFECT_IN_DATA", "TrainClassifier", "TrainingRun", "settings_fingerprint"]

WITHOUT_EFFECT = {"device", "launcher", "processes", "runs_root", "resume", "checkpoint_every_steps", "tracking"}
WITHOUT_EFFECT_IN_DATA = {"root", "pool", "workers", "verify"}


def _model(given: object) -> Model:
    return given if isinstance(given, Model) else choose(MODELS, given)


def _objective(given: object) -> Objective:
    return given if isinstance(given, Objective) else choose(OBJECTIVES, given)


class TrainingRun(Settings):
    """Where a training runs, and what is kept of it; common to classifiers and GANs.

    `resume`: never; auto, which resumes the latest unfinished run of the same settings, or starts a new one if there is
    none; or the folder of a run. `launcher: spark` trains in `processes` processes through Spark's TorchDistributor;
    torchrun needs no setting."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    launcher: Literal["here", "spark"] = "here"
    processes: int = Field(default=1, ge=1)
    runs_root: StorePath
    resume: PathOrName = "never"
    checkpoint_every_steps: int = Field(default=0, ge=0, description="0: only at the end of each epoch")
    tracking: Tracking

    @model_validator(mode="after")
    def _processes_need_spark(self) -> Self:
        if self.processes > 1 and self.launcher != "spark":
            raise ValueError("processes: needs launcher=spark; for torchrun use torchrun --nproc-per-node instead")
        return self


class TrainClassifier(Optimization, TrainingRun):
    """`model` trained on `data`; with all ranks together, a step takes batch_size · ranks images.

    `objective`, a member of training.objectives, defines what is minimized; Optimization says how. `keep`: the weights
    of the last epoch, or of the epoch with the best accuracy on the validation tracks.

    `ema_decay` above 0: validated and kept is the moving average of the weights and of batch norm's statistics, with
    this decay per step (loop/moving_average.py). `class_balance` b weights the loss of an image by n^−b, where n is the
    number of training images of its class, with a mean of 1 over all images: 0 not at all, 1 so that each class has the
    same weight. `max_gradient_norm`: a longer gradient is scaled down to this norm.

    `train_on` [train, validation]: trained on the images of both, for a final training of a recipe that has been
    chosen; there are then no images to validate on, and no metrics of validation.

    `beside`: another data set of the same classes, such as drawn signs, of which a share of each batch is
    (streams/beside.py). Normalization of the network, the mean norm that an objective needs, and validation are by
    `data` alone.

    `frozen_epochs`: in the first epochs only the head is trained, the last layer with its batch norm; the body computes
    as in evaluation. `lr_decay_per_depth` d: the learning rate of a layer or block n below the head is `lr` · d^n
    (classifiers/fine_tuning.py).

    `parseval` and `smoothness` (training.regularizers) are added to the objective."""

    model: Annotated[Model, PlainValidator(_model), PlainSerializer(describe)]
    data: Data
    augmentation: Augmentation
    objective: Annotated[
        Objective, PlainValidator(_objective), PlainSerializer(describe), AddedLater(before=CrossEntropy())
    ] = CrossEntropy()
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    batch_size: int = Field(ge=1)
    keep: Literal["last", "best"]
    seed: int = Field(ge=0)
    cache: Cache = "none"
    ema_decay: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, lt=1)
    class_balance: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, le=1)
    max_gradient_norm: Annotated[float | None, AddedLater(before=None)] = Field(default=None, gt=0, allow_inf_nan=False)
    train_on: Annotated[tuple[Literal["train", "validation"], ...], AddedLater(before=("train",))] = ("train",)
    beside: Annotated[Beside | None, AddedLater(before=None)] = None
    frozen_epochs: Annotated[int, AddedLater(before=0)] = Field(default=0, ge=0)
    lr_decay_per_depth: Annotated[float, AddedLater(before=1.0)] = Field(default=1.0, gt=0, le=1)
    parseval: Annotated[Parseval | None, AddedLater(before=None)] = None
    smoothness: Annotated[Smoothness | None, AddedLater(before=None)] = None

    @model_validator(mode="after")
    def _nothing_is_chosen_on_what_is_trained_on(self) -> Self:
        if self.train_on not in (("train",), ("train", "validation")):
            raise ValueError(f"train_on: [train] or [train, validation], got {list(self.train_on)}")
        if "validation" in self.train_on and self.keep == "best":
            raise ValueError("keep: best needs validation images that train_on does not train on; set keep=last")
        return self

    @model_validator(mode="after")
    def _noise_is_made_once(self) -> Self:
        if self.objective.makes_noise and self.augmentation.noise:
            raise ValueError(
                f"augmentation.noise: objective={self.objective.kind} makes noise itself and needs images without; set "
                "augmentation.noise=null and the noise as objective.noise"
            )
        return self

    @model_validator(mode="after")
    def _a_frozen_body_has_weights(self) -> Self:
        if self.frozen_epochs and self.model.weights == "none":
            raise ValueError(
                "frozen_epochs: the body would stay as it was drawn; give model.weights, or frozen_epochs=0"
            )
        return self

    @property
    def validates(self) -> bool:
        """Whether there are images to validate on."""
        return "validation" not in self.train_on

    def fingerprint(self, dataset_digests: Mapping[str, str], world_size: int) -> str:
        """Equal for two runs that must give the same weights on the same kind of machine."""
        return settings_fingerprint(self, WITHOUT_EFFECT, dataset_digests, world_size)


def settings_fingerprint(
    settings: Settings, without_effect: set[str], digests: Mapping[str, str], world_size: int
) -> str:
    """SHA-256 over the settings that affect the weights, and the data that they are trained on, whose digests include
    those of teachers ("teacher_0", …). A new key is marked AddedLater, so that the fingerprints of older runs do not
    change."""
    values = decisive_values(settings, without_effect)
    if any(name.startswith("teacher_") for name in digests):
        values.get("objective", {}).pop("teachers", None)  # their paths do not matter then
    for name in WITHOUT_EFFECT_IN_DATA:
        del values["data"][name]
    if values.get("beside"):
        del values["beside"]["root"]
    text = json.dumps([values, dict(digests), world_size], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
