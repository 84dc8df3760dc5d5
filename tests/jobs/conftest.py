import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def new_stores_are_copies(empty_mlflow: Path) -> Iterator[None]:
    """How a job makes a new store is tested in tests/training/tracking/test_databases.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.tracking.server._make_database", partial(shutil.copyfile, empty_mlflow))
        yield
