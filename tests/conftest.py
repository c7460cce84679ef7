"""What all tests share. One thread each: results then do not depend on the machine, nor tests on each other."""

import os

# Both frameworks read these when they are imported, and only then.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

from pathlib import Path

import pytest
from hypothesis import settings

from fuxian.training.machine import prepare

prepare()

# The first example of a property often pays for an import; a deadline would then fail by chance.
settings.register_profile("fuxian", deadline=None)
settings.load_profile("fuxian")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of data sets: ``FUXIAN_DATA``, else ``../shared/data`` beside the checkout; skips without it."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("FUXIAN_DATA") or beside)
    if not root.is_dir():
        pytest.skip(f"no data sets: {root} is not there; set FUXIAN_DATA to the folder that holds them")
    return root
