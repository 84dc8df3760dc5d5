from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from small_gans import gan_recipe, gan_training, gan_weights, run_epochs
from small_runs import write_dataset

from pipelines.errors import SettingsError
from training.gans import GANS, GanArchitecture
from training.gans.conditional import Conditional
from training.gans.conditioning import ClassEmbedding, Transition, fade_classes, fixed_classes
from training.gans.dcgan import Dcgan
from training.gans.r3gan_small import R3ganSmall
from training.gans.trained import TrainedGan
from training.gans.vanilla import Vanilla
from training.gans.wgan_gp import WganGp

EMBEDDING = "generator.input.embedding.weight"
LABELS = torch.tensor([0, 2])
MEMBERS = [Conditional(), Dcgan(channels=4, conditional=True), WganGp(width=4), R3ganSmall(channels=4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def test_the_share_is_a_ramp_from_start_to_end() -> None:
    by_epochs = Transition(start=1, end=3)
    found = [by_epochs.share(steps, 10) for steps in (0, 10, 15, 20, 29, 30, 99)]
    assert found == pytest.approx([0, 0, 0.25, 0.5, 0.95, 1, 1])
    by_steps = Transition(start=4, end=8, unit="steps")
    assert [by_steps.share(steps, 10) for steps in (4, 5, 6, 8)] == pytest.approx([0, 0.25, 0.5, 1])
    with pytest.raises(ValidationError, match="end must be greater than start, got start=3 and end=3"):
        Transition(start=3, end=3)


@pytest.mark.parametrize("gan", MEMBERS, ids=lambda gan: gan.kind)
def test_at_share_0_the_class_is_ignored_and_at_share_1_nothing_is_changed(gan: GanArchitecture) -> None:
    generator, discriminator = (player.eval() for player in gan.build(8, 3, 0))
    latent = torch.rand(1, 100, generator=torch.Generator().manual_seed(0)).expand(2, 100)
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)).expand(2, 3, 8, 8)
    with torch.no_grad():
        before = generator(latent, LABELS), discriminator(images, LABELS)
        fade_classes((generator, discriminator), 0.0)
        for of_both in (generator(latent, LABELS), discriminator(images, LABELS)):
            torch.testing.assert_close(of_both[0], of_both[1], atol=1e-6, rtol=1e-5)
        fade_classes((generator, discriminator), 1.0)
        after = generator(latent, LABELS), discriminator(images, LABELS)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
        assert (one[0] - one[1]).abs().max() > 1e-4


def test_an_embedding_is_scaled_by_its_share_which_can_be_made_part_of_its_weights() -> None:
    embedding = ClassEmbedding(3, 5)
    whole = embedding(LABELS)
    embedding.share = 0.25
    torch.testing.assert_close(embedding(LABELS), whole / 4)
    fixed_classes(embedding)
    assert embedding.share == 1
    torch.testing.assert_close(embedding(LABELS), whole / 4)


def test_a_training_begins_without_classes_and_ends_with_them(root: Path, tmp_path: Path) -> None:
    gan = Dcgan(channels=4, conditional=True, transition=Transition(start=1, end=2))
    training = gan_training(gan_recipe(root, gan))
    started = gan_weights(training)[EMBEDDING]
    run_epochs(training, 1)
    assert torch.equal(gan_weights(training)[EMBEDDING], started)
    one, two = (training.sampled().sample(torch.tensor([label]), torch.Generator()) for label in (0, 1))
    assert torch.equal(one, two)
    for _ in zip(range(3), training.steps(), strict=False):
        pass
    assert not torch.equal(gan_weights(training)[EMBEDDING], started)
    labels, kept = torch.tensor([3, 4]), tmp_path / "kept.pt"
    training.trained({}).write(kept)
    of_file = TrainedGan.read(kept, torch.device("cpu")).sample(labels, torch.Generator())
    torch.testing.assert_close(of_file, training.sampled().sample(labels, torch.Generator()))
    run_epochs(training, 2)
    shares = [layer.share for layer in training.sampled().generator.modules() if isinstance(layer, ClassEmbedding)]
    assert shares == [1]


def test_a_transition_that_cannot_end_or_has_no_classes_is_refused(root: Path) -> None:
    late = Transition(start=1, end=2.5)
    with pytest.raises(
        SettingsError,
        match=r"gan.transition.end=2.5 epochs: the training ends before it, after 2 epochs of 6 steps; set a smaller",
    ):
        gan_training(gan_recipe(root, Conditional(transition=late)))
    with pytest.raises(SettingsError, match=r"gan.transition.end=13 steps"):
        gan_training(gan_recipe(root, Conditional(transition=Transition(start=1, end=13, unit="steps"))))
    gan_training(gan_recipe(root, Conditional(transition=Transition(start=1, end=12, unit="steps"))))
    with pytest.raises(ValidationError, match=r"transition: is of conditional GANs; set gan.conditional=true"):
        GANS["dcgan"].model_validate({"transition": {"start": 1, "end": 2}})
    with pytest.raises(ValidationError, match="projection: is of conditional GANs"):
        Vanilla.model_validate({"projection": True})
