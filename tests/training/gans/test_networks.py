import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipelines.errors import SettingsError
from training.gans import GANS, GanArchitecture
from training.gans.adversarial import Adversarial
from training.gans.conditional import Conditional
from training.gans.dcgan import Dcgan
from training.gans.r3gan_small import Block, R3ganSmall
from training.gans.vanilla import Vanilla
from training.gans.wgan_gp import WganGp

# The paper's Figures 7 and 6, letter by letter; of the latter without its last line, (5): Sigmoid().
FIGURE_7 = """Sequential(
  (0): Linear(in_features=100, out_features=128, bias=True)
  (1): LeakyReLU(negative_slope=0.2, inplace=True)
  (2): Linear(in_features=128, out_features=256, bias=True)
  (3): BatchNorm1d(256, eps=0.8, momentum=0.1, affine=True, track_running_stats=True)
  (4): LeakyReLU(negative_slope=0.2, inplace=True)
  (5): Linear(in_features=256, out_features=512, bias=True)
  (6): BatchNorm1d(512, eps=0.8, momentum=0.1, affine=True, track_running_stats=True)
  (7): LeakyReLU(negative_slope=0.2, inplace=True)
  (8): Linear(in_features=512, out_features=1024, bias=True)
  (9): BatchNorm1d(1024, eps=0.8, momentum=0.1, affine=True, track_running_stats=True)
  (10): LeakyReLU(negative_slope=0.2, inplace=True)
  (11): Linear(in_features=1024, out_features=2352, bias=True)
  (12): Tanh()
)"""
FIGURE_6 = """Sequential(
  (0): Linear(in_features=2352, out_features=512, bias=True)
  (1): LeakyReLU(negative_slope=0.2, inplace=True)
  (2): Linear(in_features=512, out_features=256, bias=True)
  (3): LeakyReLU(negative_slope=0.2, inplace=True)
  (4): Linear(in_features=256, out_features=1, bias=True)
)"""
MEMBERS: list[GanArchitecture] = [
    Vanilla(),
    Conditional(),
    Dcgan(channels=4),
    Dcgan(channels=4, conditional=True, spectral_norm=True),
    WganGp(),
    R3ganSmall(channels=4),
    Adversarial(snr_db=33.0, channels=4),
]
NAMES = ["vanilla", "conditional", "dcgan", "dcgan-conditional-spectral", "wgan_gp", "r3gan_small", "adversarial"]
LABELS = torch.tensor([0, 2])


def drawn(gan: GanArchitecture, size_px: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, *gan.latent.shape(size_px), generator=torch.Generator().manual_seed(1)) * 2 - 1


def printed(network: nn.Module) -> str:
    """The network as printed by the paper's PyTorch version, which did not show batch norm's bias."""
    return repr(network).replace("affine=True, bias=True", "affine=True")


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_print_as_in_its_figures() -> None:
    generator, discriminator = Vanilla().build(28, 43, 0)
    assert printed(generator.model) == FIGURE_7
    assert printed(discriminator.model) == FIGURE_6
    dense = [(100, 128), (128, 256), (256, 512), (512, 1024), (1024, 2352)]
    assert parameters(generator) == sum(a * b + b for a, b in dense) + 2 * (256 + 512 + 1024)
    assert parameters(discriminator) == sum(a * b + b for a, b in [(2352, 512), (512, 256), (256, 1)])
    assert list(generator.state_dict())[:4] == ["model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias"]


def test_the_conditional_one_has_the_class_joined_to_noise_and_image_and_is_the_same_otherwise() -> None:
    generator, discriminator = Conditional().build(28, 43, 0)
    first, of_image = "in_features=143, out_features=128", f"in_features={2352 + 43}, out_features=512"
    assert printed(generator.model) == FIGURE_7.replace("in_features=100, out_features=128", first)
    assert printed(discriminator.model) == FIGURE_6.replace("in_features=2352, out_features=512", of_image)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_wgan_has_the_reports_sides_and_channels_at_32_px_and_no_batch_norm(channels: int) -> None:
    generator, critic = WganGp().build(32, 43, 0, channels)
    shapes: list[tuple[int, ...]] = []
    for network in (generator, critic):
        for layer in network.modules():
            assert not isinstance(layer, nn.modules.batchnorm._BatchNorm)
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))
    critic(generator(drawn(WganGp(), 32), LABELS), LABELS)
    assert shapes == [
        (8192,), (256, 8, 8), (128, 16, 16), (64, 32, 32), (channels, 32, 32),
        (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (1,),
    ]  # fmt: skip


@pytest.mark.parametrize("gan", MEMBERS, ids=NAMES)
@pytest.mark.parametrize("size_px", [8, 28, 33, 50])
def test_every_member_makes_images_of_every_size_and_judges_them(gan: GanArchitecture, size_px: int) -> None:
    generator, discriminator = gan.build(size_px, 3, 0)
    made = generator(drawn(gan, size_px), LABELS)
    assert made.shape == (2, 3, size_px, size_px)
    assert made.dtype == torch.float32
    assert made.abs().max() <= 1
    assert discriminator(made, LABELS).shape == (2,)


@pytest.mark.parametrize("latent", ["uniform", "noise_image", "image_to_image"])
@pytest.mark.parametrize("kind", ["vanilla", "dcgan", "wgan_gp", "r3gan_small"])
def test_every_latent_goes_into_every_generator(kind: str, latent: str) -> None:
    gan = GANS[kind].model_validate({"latent": latent})
    made = gan.build(28, 3, 0).generator(drawn(gan, 28), LABELS)
    assert made.shape == (2, 3, 28, 28)
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("gan", MEMBERS, ids=NAMES)
def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone(gan: GanArchitecture) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (gan.build(8, 3, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    for player in ("generator", "discriminator"):
        weights = [getattr(built, player).state_dict() for built in (one, same, other)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("gan", MEMBERS, ids=NAMES)
def test_the_class_changes_what_conditional_players_do_and_nothing_else(gan: GanArchitecture) -> None:
    generator, discriminator = (player.eval() for player in gan.build(8, 3, 0))
    latent = drawn(gan, 8)
    with torch.no_grad():
        made = [generator(latent, torch.full((2,), label)) for label in (0, 1)]
        judged = [discriminator(made[0], torch.full((2,), label)) for label in (0, 1)]
    assert torch.equal(made[0], made[1]) is not gan.conditional
    assert torch.equal(judged[0], judged[1]) is not gan.conditional


def test_r3gans_blocks_change_nothing_before_the_training_and_have_no_normalization() -> None:
    """Fixup with L = 3 blocks at 32 px: He's variance 2 / ((1 + 0.2²) · fan_in), times L^(−1/2)."""
    players = R3ganSmall(channels=32).build(32, 43, 0)
    images = torch.rand(2, 128, 4, 4, generator=torch.Generator().manual_seed(0))
    for player in players:
        names = {type(layer).__name__ for layer in player.modules()}
        assert not any("Norm" in name for name in names)
        blocks = [layer for layer in player.modules() if isinstance(layer, Block)]
        assert len(blocks) == 3
        widest = max(blocks, key=lambda block: block.branch[0].in_channels)
        assert torch.equal(widest(images), images)
        expected = (2 / (1.04 * 128 * 9) / 3**0.5) ** 0.5
        assert widest.branch[2].weight.std().item() == pytest.approx(expected, rel=0.02)
        assert not widest.branch[2].bias.any()


def test_spectral_norm_takes_the_place_of_batch_norm_and_keeps_every_layer_at_norm_one() -> None:
    discriminator = Dcgan(channels=4, spectral_norm=True).build(28, 3, 0).discriminator
    for _ in range(200):  # each pass is a step of the power iteration
        discriminator(torch.zeros(1, 3, 28, 28), LABELS[:1])
    weights = [layer.weight for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weights) == 3
    for weight in weights:
        assert torch.linalg.svdvals(weight.flatten(1).detach())[0].item() == pytest.approx(1, abs=0.01)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.modules())


@pytest.mark.parametrize("bound", [{"eps": 0.03}, {"snr_db": 33.0}])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_perturbation_keeps_to_its_bound_whatever_the_weights_are(bound: dict[str, float], scale: float) -> None:
    gan = Adversarial.model_validate(bound)
    generator = gan.build(8, 3, 0).generator
    with torch.no_grad():
        for parameter in generator.model[-1].parameters():
            parameter.mul_(scale)
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    images[5] = 0
    made = generator((images * 2 - 1).requires_grad_(), torch.zeros(6, dtype=torch.int64))
    made.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in generator.parameters())
    made = made.detach() / 2 + 0.5
    assert made.min() >= 0 and made.max() <= 1
    noise = made - images
    if "eps" in bound:
        assert noise.abs().max() <= 0.03 + 1e-6
    else:
        assert not noise[5].any()
        snr_db = 20 * torch.log10(images[:5].flatten(1).norm(dim=1) / noise[:5].flatten(1).norm(dim=1))
        assert (snr_db > 33 - 0.01).all()
        if scale == 1e4:
            assert (snr_db < 33 + 0.01).all()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"data.size_px=7: dcgan needs at least 8"):
        Dcgan().build(7, 3, 0)
    with pytest.raises(ValidationError, match="one of the two"):
        Adversarial()
    with pytest.raises(ValidationError, match="gaussian: the adversarial generator changes images"):
        Adversarial.model_validate({"snr_db": 33.0, "latent": "gaussian"})
    with pytest.raises(ValidationError, match="conditional"):
        Vanilla.model_validate({"conditional": True})
    with pytest.raises(ValidationError, match="loss"):
        WganGp.model_validate({"loss": "bce"})
    with pytest.raises(ValidationError, match="expected one of gaussian, uniform, noise_image, image_to_image"):
        Vanilla.model_validate({"latent": "laplace"})


def test_every_gan_of_the_menu_is_among_the_members() -> None:
    assert {gan.kind for gan in MEMBERS} == GANS.keys(), "give a new GAN a line in MEMBERS and in NAMES"
    assert len(NAMES) == len(MEMBERS)


def test_the_menu_names_its_files() -> None:
    for kind, member in GANS.items():
        assert member.kind == kind
        assert member.__module__ == f"training.gans.{kind}"
        assert member.__name__ == "".join(word.capitalize() for word in kind.split("_"))
