"""The lines of docs/python.md run, in a folder with a small dataset and a champion."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from small_datasets import CARD, Small

from training.classifiers.trained import Classifier, Shape
from training.models.baseline_cnn import BaselineCnn

SIZE_PX = 40


@pytest.fixture
def folder(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_mlflow, tmp_path / "mlruns" / "mlflow.db")
    parts = {"train": [[40]], "validation": [[8]], "test": [[20]]}
    Small(parts, ("clean", "gaussian-max"), size_px=SIZE_PX).write(tmp_path / "data" / "datasets" / "gtsrb")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (53, 47, 3), np.uint8)).save(tmp_path / "sign.png")
    register_champion(tmp_path)
    return tmp_path


def register_champion(folder: Path) -> None:
    shape = Shape(SIZE_PX, CARD.num_classes, (0.5,) * 3, (0.3,) * 3)
    about = {"card": CARD.model_dump(mode="json"), "settings": {"data": {"geometry": "crop_or_pad"}}}
    Classifier(shape.build(BaselineCnn(), 0), BaselineCnn(), shape, about).write(folder / "model.pt")
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.create_experiment("classifiers", (folder / "mlruns" / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    client.log_artifact(run_id, str(folder / "model.pt"), "checkpoint")
    client.set_terminated(run_id)
    client.create_registered_model("roadsign")
    version = client.create_model_version("roadsign", "model", run_id)
    client.set_registered_model_alias("roadsign", "champion", version.version)


def test_the_lines_of_the_page_run(folder: Path, repository: Path) -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (repository / "docs" / "python.md").read_text(), re.MULTILINE)
    assert len(blocks) >= 5
    known: dict[str, Any] = {}
    for block in blocks:
        exec(re.sub(r"^    ", "", block, flags=re.MULTILINE), known)
    assert known["class_name"] in CARD.class_names and 0 < known["probability"] <= 1
    assert known["noisy"].shape == (53, 47, 3)
    assert len(known["signs"]) == 40 and known["images"].shape == (16, 3, SIZE_PX, SIZE_PX)
    assert len(known["test"]) == 20 and known["image"].shape == (SIZE_PX, SIZE_PX, 3)
    accuracy = known["table"][known["table"].metric == "accuracy"]
    assert set(accuracy.noise) == {"none", "gaussian"}
    assert (known["attacked"].snr_db > 32.9).all() and known["attacked"].images.shape == known["images"].shape
