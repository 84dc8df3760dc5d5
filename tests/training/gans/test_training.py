from pathlib import Path

import numpy as np
import pytest
import torch
from gan_twins import plain_r3gan_steps, plain_steps
from public_cgan import PlainDiscriminator, PlainGenerator
from small_datasets import Small
from small_gans import gan_recipe, gan_training, gan_weights, run_epochs
from small_runs import write_dataset
from torch import nn

from pipelines.errors import SettingsError, StreamError
from training.gans import GanArchitecture
from training.gans.adversarial import Adversarial
from training.gans.conditional import Conditional
from training.gans.conditioning import Transition
from training.gans.dcgan import Dcgan
from training.gans.diff_augment import DiffAugment
from training.gans.latents.image_to_image import ImageToImage
from training.gans.latents.noise_image import NoiseImage
from training.gans.r3gan_small import R3ganSmall
from training.gans.trained import GanShape
from training.gans.training import GanTraining
from training.gans.vanilla import Vanilla
from training.gans.watch import Watch
from training.gans.wgan_gp import WganGp
from training.loop.ranks import Ranks
from training.loop.training import DivergedError

IMAGES = 94


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def real_batches(training: GanTraining) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images in [-1, 1] and labels of two epochs."""
    return [
        (batch.images[batch.valid] / 127.5 - 1, batch.labels[batch.valid])
        for epoch in range(2)
        for batch in training.train.epoch(epoch)
    ]


def test_it_gives_the_weights_of_a_plain_loop(root: Path) -> None:
    """On the same images and latents, with the mean over the real images that are not padding."""
    settings = gan_recipe(root, Vanilla(), lr=0.0002)
    ours = gan_training(settings)
    latents: list[torch.Tensor] = []
    ours.players.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    metrics = run_epochs(ours, 2)
    batches = real_batches(ours)
    assert sum(len(real) for real, _ in batches) == 2 * IMAGES
    plain = settings.gan.build(8, 43, settings.seed)
    given = [(*batch, latent) for batch, latent in zip(batches, latents, strict=True)]
    losses = np.array(plain_steps(*plain, given, settings.lr, settings.betas))
    for epoch, found in enumerate(metrics):
        expected = losses[6 * epoch : 6 * epoch + 6].mean(0)
        assert found["loss/discriminator"] == pytest.approx(expected[0], rel=1e-3)
        assert found["loss/generator"] == pytest.approx(expected[1], rel=1e-3)
    for own, other in zip(ours.players, plain, strict=True):
        for name, tensor in other.state_dict().items():
            torch.testing.assert_close(own.state_dict()[name], tensor, atol=4e-4, rtol=1e-3)


def test_the_conditional_network_learns_as_an_independent_twin_of_it_does(root: Path) -> None:
    """From the same weights, images, labels and latents."""
    settings = gan_recipe(root, Conditional(), lr=0.0002)
    ours = gan_training(settings)
    plain = PlainGenerator(43, 3 * 64), PlainDiscriminator(43, 3 * 64)
    for own, other in zip(ours.players, plain, strict=True):
        assert len(own.state_dict()) == len(other.state_dict())
        other.load_state_dict(dict(zip(other.state_dict(), own.state_dict().values(), strict=True)))
    latents: list[torch.Tensor] = []
    ours.players.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    run_epochs(ours, 2)
    flat = [(real.flatten(1), labels) for real, labels in real_batches(ours)]
    given = [(*batch, latent) for batch, latent in zip(flat, latents, strict=True)]
    plain_steps(*plain, given, settings.lr, settings.betas)
    for own, other in zip(ours.players, plain, strict=True):
        for tensor, expected in zip(own.state_dict().values(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(tensor, expected, atol=4e-4, rtol=1e-3)


def test_r3gan_gives_the_weights_of_a_plain_loop_over_pairs(root: Path) -> None:
    """With epochs that end with a batch that is not full. The last bias is the same in both values of a pair, so its
    gradient is rounding alone, from which Adam makes whole steps."""
    settings = gan_recipe(root, R3ganSmall(channels=4, r1=0.5, r2=2.0, penalty_every=2), lr=0.0002, betas=(0.0, 0.99))
    ours = gan_training(settings)
    latents: list[torch.Tensor] = []
    ours.players.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    metrics = run_epochs(ours, 2)
    batches = real_batches(ours)
    plain = settings.gan.build(8, 43, settings.seed)
    given = [(*batch, latent) for batch, latent in zip(batches, latents, strict=True)]
    plain_r3gan_steps(*plain, given, settings.lr, settings.betas, (0.5, 2.0), 2)
    last_bias = list(plain.discriminator.model.named_parameters(prefix="model"))[-1][0]
    for own, other in zip(ours.players, plain, strict=True):
        for name, tensor in other.state_dict().items():
            if own is ours.players.discriminator and name == last_bias:
                continue
            torch.testing.assert_close(own.state_dict()[name], tensor, atol=4e-4, rtol=1e-3)
    assert {"loss/discriminator", "loss/r1", "loss/r2", "loss/generator"} < metrics[0].keys()


@pytest.mark.parametrize(
    "gan",
    [
        R3ganSmall(channels=4, augment=DiffAugment(), transition=Transition(start=0.5, end=1.5), minibatch_std=True),
        Dcgan(channels=4, conditional=True),
        Dcgan(channels=4, spectral_norm=True, latent=NoiseImage()),
        WganGp(n_critic=2, latent=ImageToImage()),
    ],
    ids=["r3gan_small", "dcgan", "spectral", "wgan_gp"],
)
def test_stopped_after_any_step_and_resumed_it_gives_the_same_bits(root: Path, gan: GanArchitecture) -> None:
    settings = gan_recipe(root, gan)
    straight = gan_training(settings)
    expected = run_epochs(straight, 2)
    for stop_after in (1, 6, 8):
        first = gan_training(settings)
        taken = 0
        while taken < stop_after:
            for _ in first.steps():
                taken += 1
                if taken == stop_after:
                    break
            else:
                first.finish_epoch()
        second = gan_training(settings)
        second.load_state(first.state())
        run_epochs(second, 2)
        assert_equal(gan_weights(second), gan_weights(straight))
        for name, value in expected[-1].items():
            if name.startswith(("loss/", "gradient_norm/")):
                assert second.metrics[name] == value, (stop_after, name)


def test_another_seed_gives_other_weights_and_leaves_torchs_own_generator_alone(root: Path) -> None:
    before = torch.get_rng_state()
    one, same, other = (gan_training(gan_recipe(root, seed=seed)) for seed in (3, 3, 4))
    for training in (one, same, other):
        run_epochs(training, 1)
    assert_equal(gan_weights(one), gan_weights(same))
    assert not torch.equal(gan_weights(one)["generator.project.weight"], gan_weights(other)["generator.project.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_generator_learns_in_every_n_critic_th_step_of_all_epochs(root: Path) -> None:
    training = gan_training(gan_recipe(root, WganGp(n_critic=4)))
    changed, before = [], gan_weights(training)
    while training.epoch < 2:
        for _ in training.steps():
            now = gan_weights(training)
            changed.append(not torch.equal(now["generator.dense.bias"], before["generator.dense.bias"]))
            assert not torch.equal(now["discriminator.model.0.weight"], before["discriminator.model.0.weight"])
            before = now
        training.finish_epoch()
    assert changed == [False, False, False, True] * 3
    assert {"loss/discriminator", "loss/penalty", "loss/generator"} < training.metrics.keys()


def test_generated_images_have_the_labels_of_the_real_ones(root: Path) -> None:
    training = gan_training(gan_recipe(root, Conditional()))
    asked: list[torch.Tensor] = []
    training.players.generator.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1].clone()))
    run_epochs(training, 1)
    assert torch.equal(torch.cat(asked), torch.cat([batch.labels[batch.valid] for batch in training.train.epoch(0)]))


def test_only_images_of_the_classes_that_are_chosen_are_seen(root: Path) -> None:
    training = gan_training(gan_recipe(root, cache="host", classes=(2, 7)))
    labels = torch.cat([batch.labels[batch.valid] for batch in training.train.epoch(0)])
    assert sorted(labels.tolist()) == [2, 2, 2, 7, 7, 7]
    assert training.shape == GanShape(8, 43, (2, 7))
    with pytest.raises(StreamError, match=r"classes \[50\]: split train has no images of them"):
        gan_training(gan_recipe(root, cache="host", classes=(2, 50)))
    with pytest.raises(StreamError, match="use cache=host or cache=device"):
        gan_training(gan_recipe(root, cache="none", classes=(2,)))


def test_a_loss_that_is_not_finite_raises_an_error_that_names_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream refuses such pixels, so its check is disabled here."""
    monkeypatch.setattr("training.streams.row_groups.check_rows", lambda *_: None)

    class WithHole(Small):
        def image(self, variant: str, image_id: str) -> np.ndarray:
            pixels = super().image(variant, image_id)
            if image_id == "train/00007":
                pixels[2, 3, 1] = np.nan
            return pixels

    WithHole({"train": [[IMAGES]], "validation": [[20]]}, size_px=8, pixel_dtype="float32").write(tmp_path)
    with pytest.raises(
        DivergedError, match=r"loss/discriminator is nan in epoch 1 on the batch of (train/\d+, )*train/00007"
    ):
        run_epochs(gan_training(gan_recipe(tmp_path)), 1)


def test_padding_never_enters_batch_statistics(root: Path) -> None:
    training = gan_training(gan_recipe(root))
    seen: list[int] = []
    training.players.generator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for _ in training.steps():
        pass
    assert seen == [16] * 5 + [14]


def test_a_vanished_gradient_is_a_warning(root: Path) -> None:
    training = gan_training(gan_recipe(root, watch=Watch(vanished_norm=1e9, checks=1)))
    run_epochs(training, 1)
    assert [warning.split("'")[0] for warning in training.warnings] == ["the generator", "the discriminator"]


def test_a_batch_of_one_with_batch_norm_is_refused(root: Path) -> None:
    with pytest.raises(SettingsError, match="batch_size=1: the generator of vanilla has batch norm"):
        gan_training(gan_recipe(root, Vanilla(), batch_size=1))
    gan_training(gan_recipe(root, WganGp(), batch_size=1))
    with pytest.raises(SettingsError, match="gan=adversarial: needs the classifier latest"):
        gan_training(gan_recipe(root, Adversarial(eps=0.1)))


class Threshold(nn.Module):
    """Class 0 if the mean of an image is above 0.55, which the mean of noise is not."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3)) * 50
        return torch.stack([mean, 55 - mean], 1)


def test_the_adversarial_generator_learns_to_fool_a_classifier_inside_its_bound(root: Path) -> None:
    settings = gan_recipe(root, Adversarial(eps=0.1, hinge_weight=0.0, target=0), lr=0.01, ema_decay=0.0)
    opened = gan_training(gan_recipe(root, Dcgan()))
    training = GanTraining(settings, opened.shape, Ranks(torch.device("cpu")), opened.train, None, Threshold())
    metrics = run_epochs(training, 4)
    assert metrics[0]["loss/fooled"] < 0.95 < metrics[-1]["loss/fooled"]
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = training.sampled().sample(torch.zeros(4).long(), torch.Generator(), images)
    assert (made - images).abs().max() <= 0.1 + 1e-6
    assert ((made - images).mean((1, 2, 3)) > 0.05).all()


def test_bfloat16_gives_nearly_the_same_losses(tmp_path: Path) -> None:
    """Compared in the first step, where both have the same weights; later steps depend on the processor's rounding."""
    root = write_dataset(tmp_path, parts={"train": [[16]], "validation": [[16]], "test": [[16]]})
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        settings = gan_recipe(root, Dcgan(channels=4, spectral_norm=True, penalty=10.0))
        opened = gan_training(settings)
        training = GanTraining(settings, opened.shape, Ranks(torch.device("cpu"), dtype=dtype), opened.train)
        losses.append(run_epochs(training, 1)[0])
    for name in ("loss/discriminator", "loss/penalty", "loss/generator"):
        assert losses[1][name] == pytest.approx(losses[0][name], rel=0.02), name
    assert losses[1]["loss/discriminator"] != losses[0]["loss/discriminator"]
