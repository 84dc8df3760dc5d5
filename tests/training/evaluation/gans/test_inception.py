import hashlib
from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import training.evaluation.gans.inception
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.inception import InceptionFeatures

CPU = torch.device("cpu")


def test_missing_or_different_inception_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"inception.pth: no such file; get it from https://github.com/toshas/"):
        InceptionFeatures(tmp_path / "inception.pth", CPU)
    (tmp_path / "inception.pth").write_bytes(b"a pickle that nobody should load")
    with pytest.raises(EvaluationError, match="is not the file that FID is defined with"):
        InceptionFeatures(tmp_path / "inception.pth", CPU)


@pytest.mark.slow
def test_inceptions_features_are_torch_fidelitys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)  # nothing may be downloaded
    weights = tmp_path / "inception.pth"
    bare = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    torch.save({}, weights)
    FeatureExtractorInceptionV3.__init__(bare, "inception", ["2048"], feature_extractor_weights_path=str(weights))
    monkeypatch.undo()
    torch.save(bare.state_dict(), weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(training.evaluation.gans.inception, "INCEPTION_SHA256", digest)
    images = torch.randint(256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    extractor = InceptionFeatures(weights, CPU)
    found = extractor(images, batch_size=2)
    torch.testing.assert_close(torch.from_numpy(found.values), bare(images)[0])
    assert found.probabilities.shape == (3, 1008)
    assert (extractor.suffix, extractor.digest) == ("", digest)
