"""Models from outside: the same logits as the network that they were made from, and one line for each that does not
fit."""

import shutil
import sys
from pathlib import Path

import foreign_models
import pytest
import torch
from rich.console import Console
from small_attacks import SIZE_PX, classifier, write_signs
from small_datasets import Small

from pipelines.errors import RoadsignError, SettingsError, StreamError
from training.classifiers.foreign import ForeignError
from training.classifiers.foreign.classifier import ForeignClassifier
from training.classifiers.foreign.logits import Logits
from training.classifiers.opening import OpenedModel, named, open_models, stored, unlabelled
from training.classifiers.trained import weights_digest
from training.evaluation.classifiers.predicting import predict
from training.streams.stream import Data
from training.tracking import TrackingError

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
"""Those of the exporters."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    write_signs(folder / "signs", ("clean", "gaussian-max"))
    classifier().write(folder / "ours.pt")
    foreign_models.write_pt2(folder / "any.pt2", foreign_models.ours())
    foreign_models.write_pt2(folder / "five.pt2", foreign_models.ours(), batch=5)
    foreign_models.write_onnx(folder / "any.onnx", foreign_models.ours())
    foreign_models.write_onnx(folder / "five.onnx", foreign_models.ours(), batch=5, beside=True)
    return folder


def opened(folder: Path, reference: str) -> OpenedModel:
    images = stored(str(folder / "signs"), "crop_or_pad", None)
    (model,) = open_models([reference], CPU, images, Console(quiet=True))
    return model


REFERENCES = ["foreign_models:ours", "any.pt2", "five.pt2", "any.onnx", "five.onnx"]


def reference_in(folder: Path, name: str) -> str:
    return name if ":" in name else str(folder / name)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("images", [1, 2, 5, 13])
def test_its_logits_are_those_of_the_network_it_was_made_from(folder: Path, name: str, images: int) -> None:
    shown = torch.rand(images, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(images))
    model = opened(folder, reference_in(folder, name)).classifier
    torch.testing.assert_close(model.network(shown), classifier().network(shown), rtol=1e-4, atol=1e-5)
    assert (model.shape.size_px, model.shape.channels, model.shape.num_classes) == (SIZE_PX, 3, 43)


@pytest.mark.parametrize("name", REFERENCES)
def test_another_machine_reads_the_same_network(folder: Path, tmp_path: Path, name: str) -> None:
    model = opened(folder, reference_in(folder, name)).classifier
    path = tmp_path / f"shipped{model.suffix}"
    model.write(path)
    read = ForeignClassifier.read(path, CPU)
    shown = torch.rand(3, 3, SIZE_PX, SIZE_PX)
    assert read.digest == model.digest
    torch.testing.assert_close(read.network(shown), model.network(shown))


def test_predictions_of_a_dataset_are_those_of_the_network(folder: Path) -> None:
    models = {name: opened(folder, reference_in(folder, name)).classifier for name in REFERENCES}
    data = Data(root=str(folder / "signs"), size_px=SIZE_PX)
    found = predict({"ours": classifier(), **models}, data, "test", ["clean", "gaussian-max"], CPU, batch_size=7)
    for (name, variant), one in found.items():
        assert one.predicted.tolist() == found["ours", variant].predicted.tolist(), name


def test_gradients_are_those_of_the_network_or_said_to_be_missing(folder: Path) -> None:
    def gradient(network: torch.nn.Module) -> torch.Tensor:
        images = torch.rand(3, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1)).requires_grad_()
        return torch.autograd.grad(network(images)[:, 3].sum(), images)[0]

    for name in ("foreign_models:ours", "any.pt2", "five.pt2"):
        model = opened(folder, reference_in(folder, name)).classifier
        assert model.no_gradients == ""
        torch.testing.assert_close(gradient(model.network), gradient(classifier().network), rtol=1e-4, atol=1e-6)
    for name in ("any.onnx", "foreign_models:without_gradients"):
        model = opened(folder, reference_in(folder, name)).classifier
        assert model.no_gradients == "has no gradients with respect to its images"


def test_digests_name_the_file_or_the_weights(folder: Path, tmp_path: Path) -> None:
    digests = {name: opened(folder, reference_in(folder, name)).classifier.digest for name in REFERENCES}
    assert len(set(digests.values())) == len(REFERENCES)
    assert digests["foreign_models:ours"] == weights_digest(classifier().network)
    for name in ("five.onnx", "five.onnx.data"):
        shutil.copy(folder / name, tmp_path / name)
    changed = bytearray((tmp_path / "five.onnx.data").read_bytes())
    changed[4] ^= 1
    (tmp_path / "five.onnx.data").write_bytes(changed)
    assert opened(folder, str(tmp_path / "five.onnx")).classifier.digest != digests["five.onnx"]


def test_probabilities_become_logits_of_the_same_softmax(folder: Path) -> None:
    (model,) = [opened(folder, "foreign_models:probabilities").classifier]
    shown = torch.rand(4, 3, SIZE_PX, SIZE_PX)
    torch.testing.assert_close(model.network(shown).softmax(1), foreign_models.probabilities()(shown))
    assert any("gives probabilities" in note for note in model.notes)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("foreign_models:no_module", "returns a int, expected a torch.nn.Module"),
        ("foreign_models:failing", r"calling it without arguments failed \(RuntimeError: no weights\)"),
        ("foreign_models:missing", "has no missing"),
        ("foreign_models:DRAWS", "is a int; give a function"),
        ("no.such.module:make", "cannot be imported"),
        ("foreign_models:ten_classes", "has 10 classes, but small has 43"),
        ("foreign_models:larger", "does not take images of 3 channels and 8 px"),
        ("foreign_models:per_pixel", r"returns torch.float32 \(4, 43, 8, 8\) for 4 images"),
        ("foreign_models:random", "gives other logits in a second pass"),
        ("foreign_models:of_batch", "gives an image other logits in another batch"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(folder: Path, reference: str, message: str) -> None:
    with pytest.raises(ForeignError, match=message) as raised:
        opened(folder, reference)
    assert "\n" not in str(raised.value)
    assert reference.partition(":")[0] in str(raised.value)


def test_damaged_and_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    for name, message in (("a.pt2", "not a file of torch.export.save"), ("a.onnx", "not an ONNX file")):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ForeignError, match=message):
            opened(folder, str(tmp_path / name))
        with pytest.raises(TrackingError, match="no such file"):
            opened(folder, str(tmp_path / "other" / name))
    shutil.copy(folder / "five.onnx", tmp_path / "alone.onnx")
    with pytest.raises(ForeignError, match="weights beside it are missing"):
        opened(folder, str(tmp_path / "alone.onnx"))


def test_onnx_without_its_library_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ForeignError, match="uv sync --extra onnx"):
        opened(folder, str(folder / "any.onnx"))


def test_a_size_that_nobody_says_or_that_differs_is_refused(folder: Path, tmp_path: Path) -> None:
    for size_px in (SIZE_PX, 16):
        Small({"test": [[4]]}, size_px=size_px).write(tmp_path / "signs")
    with pytest.raises(StreamError, match=r"set data.size_px.*: 8, 16"):
        opened(tmp_path, "foreign_models:linear")
    assert opened(tmp_path, str(folder / "any.pt2")).classifier.shape.size_px == SIZE_PX
    images = stored(str(tmp_path / "signs"), "crop_or_pad", 16)
    with pytest.raises(ForeignError, match=r"is for images of 8 px, not of 16 px"):
        open_models([str(folder / "any.pt2")], CPU, images, Console(quiet=True))
    with pytest.raises(StreamError, match=r"size_px=12.*sizes at crop_or_pad: 8, 16 px"):
        open_models(["foreign_models:linear"], CPU, stored(str(tmp_path / "signs"), "crop_or_pad", 12), Console())
    with pytest.raises(SettingsError, match="size_px: set it"):
        open_models(["foreign_models:linear"], CPU, unlabelled("photos", None), Console(quiet=True))


def test_models_of_equal_name_are_told_apart_by_digest(folder: Path) -> None:
    images = stored(str(folder / "signs"), "crop_or_pad", None)
    both = open_models([str(folder / "any.pt2"), str(folder / "any.onnx")], CPU, images, Console(quiet=True))
    assert list(named(both)) == [f"any-{model.classifier.digest[:8]}" for model in both]


def test_a_factory_that_makes_another_network_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    model = opened(folder, "foreign_models:ours").classifier
    model.write(tmp_path / "shipped.foreign")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_models, "ours", foreign_models.larger)
        with pytest.raises(RoadsignError, match="makes another network here"):
            ForeignClassifier.read(tmp_path / "shipped.foreign", CPU)


def test_batches_are_cut_and_filled_up() -> None:
    seen: list[int] = []

    class Counting(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return images.flatten(1)

    images = torch.rand(7, 1, 2, 2)
    torch.testing.assert_close(Logits(Counting(), 3, 3)(images), images.flatten(1))
    assert seen == [3, 3, 3]
