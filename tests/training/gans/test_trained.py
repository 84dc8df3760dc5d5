from pathlib import Path

import pytest
import torch
from small_gans import stripes

from pipelines.errors import SettingsError
from training.gans import GanArchitecture
from training.gans.adversarial import Adversarial
from training.gans.dcgan import Dcgan
from training.gans.latents.noise_image import NoiseImage
from training.gans.trained import GanShape, TrainedGan
from training.loop.checkpoints import Checkpoint, CheckpointError

CPU = torch.device("cpu")
SHAPE = GanShape(8, 5, (0, 1, 4))
LABELS = torch.tensor([0, 4, 1, 1])


def made(gan: GanArchitecture, seed: int = 0) -> TrainedGan:
    return TrainedGan(SHAPE.build(gan, seed).generator.eval(), gan, SHAPE, {"seed": seed}, stripes)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_read_is_what_was_written_and_draws_the_same(tmp_path: Path) -> None:
    written = made(Dcgan(channels=4, conditional=True, latent=NoiseImage(level="min")))
    written.write(tmp_path / "model.pt")
    read = TrainedGan.read(tmp_path / "model.pt", CPU, stripes)
    assert (read.architecture, read.shape, read.about, read.digest) == (
        written.architecture,
        SHAPE,
        {"seed": 0},
        written.digest,
    )
    assert not read.generator.training
    assert torch.equal(read.sample(LABELS, draws()), written.sample(LABELS, draws()))


def test_samples_are_images_of_the_labels_that_are_asked_for() -> None:
    gan = made(Dcgan(channels=4, conditional=True))
    images = gan.sample(LABELS, draws())
    assert images.shape == (4, 3, 8, 8)
    assert images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert not torch.equal(images, gan.sample(LABELS, draws(1)))
    among_others = gan.sample(torch.tensor([0, 1, 4, 4]), draws())
    torch.testing.assert_close(among_others[0], images[0])
    assert not torch.allclose(among_others[1:], images[1:])


def test_the_adversarial_generator_changes_the_images_that_it_is_given() -> None:
    gan = made(Adversarial(snr_db=20.0))
    images = torch.rand(4, 3, 8, 8, generator=draws(5))
    changed = gan.sample(LABELS, draws(), images)
    assert not torch.equal(changed, images)
    assert (changed - images).abs().max() < 0.5
    with pytest.raises(SettingsError, match="needs 4 images as input of the generator, got 0"):
        gan.sample(LABELS, draws())


def test_a_class_that_was_not_seen_is_refused_where_classes_matter() -> None:
    with pytest.raises(
        SettingsError, match=r"classes \[2, 7\]: the generator was not trained on them, only on \[0, 1, 4\]"
    ):
        made(Dcgan(channels=4, conditional=True)).sample(torch.tensor([0, 7, 2]), draws())
    assert len(made(Dcgan(channels=4)).sample(torch.tensor([0, 7, 2]), draws())) == 3


def test_changed_weights_and_files_of_something_else_are_refused(tmp_path: Path) -> None:
    made(Dcgan(channels=4)).write(tmp_path / "model.pt")
    found = Checkpoint.read(tmp_path / "model.pt", CPU)
    changed = {name: tensor + 1 for name, tensor in found.state["generator"].items()}
    Checkpoint(found.settings, {"generator": changed}).write(tmp_path / "changed.pt")
    with pytest.raises(CheckpointError, match=r"changed.pt: its weights do not match its digest"):
        TrainedGan.read(tmp_path / "changed.pt", CPU)
    Checkpoint({**found.settings, "gan": {"kind": "biggan"}}, found.state).write(tmp_path / "unknown.pt")
    with pytest.raises(CheckpointError, match=r"unknown.pt: .*expected one of vanilla"):
        TrainedGan.read(tmp_path / "unknown.pt", CPU)
    Checkpoint({"kind": "classifier"}, {}).write(tmp_path / "classifier.pt")
    with pytest.raises(CheckpointError, match="kind is classifier, expected generator"):
        TrainedGan.read(tmp_path / "classifier.pt", CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": ...}, {"about": ...}, {"gan": ...}, {"shape": ...}, {"about": []}, {"shape": {"size_px": 8}},
        {"shape": {"size_px": 8, "num_classes": 5, "classes": ["a"]}},
        {"shape": {"size_px": 10**9, "num_classes": 5, "classes": [0]}},
    ],
)  # fmt: skip
def test_a_generator_that_lacks_something_or_has_another_type_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "model.pt"
    made(Dcgan(channels=4)).write(path)
    found = Checkpoint.read(path, CPU)
    settings = {name: value for name, value in {**found.settings, **change}.items() if value is not ...}
    Checkpoint(settings, found.state).write(path)
    with pytest.raises(CheckpointError, match=r"model\.pt: does not fit this version's generator: "):
        TrainedGan.read(path, CPU)
