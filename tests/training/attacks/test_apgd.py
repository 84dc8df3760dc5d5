import numpy as np
import pytest
import torchattacks
from attacked_networks import accuracy, disc_examples, grey_examples, linear, small_cnn, weights

from training.attacks import AttackError, Eps
from training.attacks.apgd import Apgd
from training.attacks.ascent import periods
from training.attacks.balls import Norm
from training.attacks.pgd import Pgd


def test_100_steps_have_the_papers_checkpoints() -> None:
    """Recomputed from section 3.2's p with exact fractions: 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99."""
    assert list(periods(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(periods(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(periods(10)) == [3, 5, 6, 7, 8, 9, 10]
    assert list(periods(1)) == [1]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.01), ("l2", 0.05)])
def test_on_a_binary_linear_network_it_ends_where_the_weights_difference_leaves_the_ball(
    norm: Norm, eps: float
) -> None:
    network = linear(2)
    examples = grey_examples(network, 20, spread=0.8)
    (found,) = Apgd(norm=norm)(network, examples, [Eps(eps)])
    robust = network(found.images).argmax(1) == examples.labels
    assert robust.sum() >= 8
    way = weights(network)[1 - examples.labels] - weights(network)[examples.labels]
    way = np.sign(way) if norm == "linf" else way / np.linalg.norm(way, axis=1, keepdims=True)
    expected = examples.images.double().numpy() + eps * way.reshape(-1, 3, 6, 6)
    np.testing.assert_allclose(found.images.double().numpy()[robust], expected[robust], atol=eps / 100)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.03), ("l2", 0.6)])
def test_it_fools_as_many_as_torchattacks_apgd_and_no_fewer_than_pgd(norm: Norm, eps: float) -> None:
    examples = disc_examples(100)
    (found,) = Apgd(norm=norm, steps=30)(small_cnn(), examples, [Eps(eps)])
    ours = accuracy(small_cnn(), found.images, examples.labels)
    name = {"linf": "Linf", "l2": "L2"}[norm]
    theirs = torchattacks.APGD(small_cnn(), norm=name, eps=eps, steps=30, loss="ce", seed=0)
    assert ours == pytest.approx(
        accuracy(small_cnn(), theirs(examples.images, examples.labels), examples.labels), abs=0.03
    )
    (pgd,) = Pgd(norm=norm, steps=30)(small_cnn(), examples, [Eps(eps)])
    assert 0.1 < ours <= accuracy(small_cnn(), pgd.images, examples.labels) + 0.01


def test_targeted_dlr_fools_as_many_as_torchattacks_apgdt() -> None:
    examples = disc_examples(60)
    (found,) = Apgd(loss="targeted_dlr", steps=20)(small_cnn(), examples, [Eps(0.03)])
    theirs = torchattacks.APGDT(small_cnn(), eps=0.03, steps=20, seed=0, n_classes=5)
    expected = accuracy(small_cnn(), theirs(examples.images, examples.labels), examples.labels)
    assert accuracy(small_cnn(), found.images, examples.labels) == pytest.approx(expected, abs=0.04)


def test_a_start_from_deepfool_needs_no_steps_where_deepfool_stays_inside() -> None:
    examples = disc_examples(60)
    robust = {
        start: accuracy(
            small_cnn(), Apgd(steps=1, start=start)(small_cnn(), examples, [Eps(0.04)])[0].images, examples.labels
        )
        for start in ("random", "deepfool")
    }
    assert robust["deepfool"] < robust["random"] - 0.1


def test_targeted_dlr_needs_four_classes() -> None:
    network = linear(3)
    with pytest.raises(AttackError, match="needs 4 classes, the network has 3"):
        Apgd(loss="targeted_dlr")(network, grey_examples(network, 2), [Eps(0.01)])
