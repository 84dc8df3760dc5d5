import pytest
import torch
from attacked_networks import disc_examples, small_cnn

from training.attacks import Eps, FixedStrength
from training.attacks.apgd import Apgd
from training.attacks.balls import Norm, norms
from training.attacks.ensemble import Ensemble
from training.attacks.square import Square


class Brief(Ensemble):
    """The same four attacks, with settings that take seconds."""

    def members(self) -> tuple[FixedStrength, ...]:
        short = {Apgd: {"steps": 10}, Square: {"queries": 50}}
        return tuple(member.model_copy(update=short[type(member)]) for member in super().members())


def test_it_is_apgd_twice_deepfool_and_square() -> None:
    assert Ensemble(norm="l2").members() == (
        Apgd(norm="l2", steps=100),
        Apgd(norm="l2", steps=100, loss="targeted_dlr", targets=9),
        Apgd(norm="l2", steps=100, start="deepfool"),
        Square(norm="l2", queries=5000),
    )


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.025), ("l2", 0.5)])
def test_it_fools_every_image_that_one_of_its_members_fools(norm: Norm, eps: float) -> None:
    examples = disc_examples(60)
    ensemble = Brief(norm=norm)
    (found,) = ensemble(small_cnn(), examples, [Eps(eps)])
    fooled = small_cnn()(found.images).argmax(1) != examples.labels
    assert 0.1 < fooled.double().mean() < 0.9
    for member in ensemble.members():
        alone = small_cnn()(member(small_cnn(), examples, [Eps(eps)])[0].images).argmax(1) != examples.labels
        assert not (alone & ~fooled).any()
    assert (norms(found.images - examples.images, norm) <= eps + 2e-6).all()


def test_eps_0_is_the_identity() -> None:
    examples = disc_examples(6)
    assert torch.equal(Brief()(small_cnn(), examples, [Eps(0)])[0].images, examples.images)
