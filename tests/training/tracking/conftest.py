from pathlib import Path

import pytest

from training.tracking.server import Server


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy: to make its tables takes MLflow seconds."""
    database = tmp_path_factory.mktemp("whole") / "mlflow.db"
    Server(f"sqlite:///{database}")
    return database
