from pathlib import Path

import numpy as np
import pytest
from attacked_predictions import write_attacked
from small_datasets import Small

from training.evaluation.classifiers.attack_facts import Strength, read_attack_facts
from training.streams.open_split import open_split

NETWORK = 64 * "a"


@pytest.mark.parametrize(("variant", "strength"), [("fgsm-snr33", {"snr_db": 33.0}), ("deepfool", None)])
def test_attack_facts_are_read_from_the_rows_of_adversarial_images(
    tmp_path: Path, variant: str, strength: dict[str, float] | None
) -> None:
    small = Small({"test": [[3, 4]]}, size_px=8)
    root = small.write(tmp_path)
    write_attacked(small, root, variant, NETWORK, strength)
    found = read_attack_facts(open_split(str(root), "crop_or_pad", 8, [variant], "test"), variant)
    assert found is not None
    assert (found.network, found.source, found.seeks) == (NETWORK, "clean", strength is None)
    assert (found.attack, found.curve) == 2 * (variant.removesuffix("-snr33"),)
    assert found.strength == (strength and Strength("snr", 33.0))
    assert found.transferred("fgsm") == "fgsm_transfer_aaaaaaaaaaaa"
    np.testing.assert_array_equal(found.snr_db, np.arange(20, 27, dtype=np.float32))
    assert found.relative_perturbations[:2] == pytest.approx([0.1, 10 ** (-21 / 20)])
    assert read_attack_facts(open_split(str(root), "crop_or_pad", 8, ["clean"], "test"), "clean") is None
