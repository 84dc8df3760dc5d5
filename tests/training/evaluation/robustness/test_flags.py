from dataclasses import replace
from math import inf

from attacked_predictions import predicted

from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.robustness.curves import find_curves
from training.evaluation.robustness.flags import find_flags


def share(percent: int, variant: str, transfer: bool = False) -> Predictions:
    """Of 1,000 images so many per cent are right; 95 % intervals are about 3 points to both sides."""
    return predicted([row < 10 * percent for row in range(1000)], variant, transfer=transfer)


def flags(**accuracies: int) -> list[str]:
    """Of one model, by variant with _ for the hyphen before the strength."""
    measured = {("cnn", name): share(percent, name) for name, percent in _named(accuracies).items()}
    return find_flags(measured, find_curves(measured))


def _named(accuracies: dict[str, int]) -> dict[str, int]:
    return {name.replace("_snr", "-snr"): percent for name, percent in accuracies.items()}


def test_accuracy_that_rises_with_the_strength_is_flagged_beyond_the_interval_alone() -> None:
    assert flags(clean=90, fgsm_snr50=60, fgsm_snr45=40, fgsm_snr33=10) == []
    assert flags(clean=90, fgsm_snr50=40, fgsm_snr33=43) == []
    (sentence,) = flags(clean=90, fgsm_snr50=40, fgsm_snr45=43, fgsm_snr33=50)
    assert sentence == (
        "cnn: accuracy increases with attack strength, from 40.00 % (37.01 – 43.07) on fgsm-snr50 to 50.00 % "
        "(46.91 – 53.09) on fgsm-snr33; the attack may be stuck"
    )


def test_an_attack_that_raises_the_accuracy_is_flagged() -> None:
    (sentence,) = flags(clean=50, fgsm_snr33=90)
    assert "on clean to 90.00 %" in sentence


def test_a_transfer_that_does_more_harm_than_the_white_box_is_flagged() -> None:
    transfer = "fgsm_transfer_0f3a5c7e9b1d-snr33"
    for white_box, of_transfer, expected in ((50, 30, 1), (50, 48, 0), (30, 50, 0)):
        measured = {
            ("cnn", "fgsm-snr33"): share(white_box, "fgsm-snr33"),
            ("cnn", transfer): share(of_transfer, "fgsm-snr33", transfer=True),
        }
        found = find_flags(measured, find_curves(measured))
        assert len(found) == expected
        assert all("30.00 % (27.24 – 32.91) right on fgsm_transfer_0f3a5c7e9b1d-snr33" in one for one in found)


def test_a_transfer_to_a_part_of_the_images_is_compared_on_that_part() -> None:
    """The white box has the first 500 images right and the others wrong; the transfer half of the first 500."""
    transfer = "fgsm_transfer_0f3a5c7e9b1d-snr33"
    white_box = share(50, "fgsm-snr33")
    half = share(25, "fgsm-snr33", transfer=True).at(white_box.image_ids[:500])
    (sentence,) = find_flags({("cnn", "fgsm-snr33"): white_box, ("cnn", transfer): half}, [])
    assert "50.00 % (45.63 – 54.37) right on fgsm_transfer_0f3a5c7e9b1d-snr33 and 100.00 %" in sentence


def test_images_without_a_gradient_are_flagged_if_the_attack_should_have_changed_them() -> None:
    unchanged = predicted([True, True, False, False, True], "fgsm-snr33", snr_db=[inf, inf, inf, 33, 33])
    (sentence,) = find_flags({("cnn", "fgsm-snr33"): unchanged}, [])
    assert sentence.startswith("cnn: 2 of 5 images of fgsm-snr33 are right and were not changed")
    other = replace(unchanged, transfer=True)
    assert find_flags({("cnn", "fgsm_transfer_0f3a5c7e9b1d-snr33"): other}, []) == []
    wrong_already = predicted([False, False, True], "fgsm-snr33", snr_db=[inf, inf, 33])
    assert find_flags({("cnn", "fgsm-snr33"): wrong_already}, []) == []
    assert unchanged.attack is not None
    seeks = replace(unchanged, variant="deepfool", attack=replace(unchanged.attack, seeks=True))
    assert find_flags({("cnn", "deepfool"): seeks}, []) == []


def test_a_random_network_is_flagged() -> None:
    (sentence,) = find_flags({("cnn", "fgsm-snr33"): replace(predicted([True], "fgsm-snr33"), steady=False)}, [])
    assert sentence.startswith("cnn: two passes over the same fgsm-snr33 images gave different logits")
