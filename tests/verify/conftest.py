"""The toy submission, trained once, and what it takes to verify a changed copy of it."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import run
from fuxian.verify.verify import verify


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sandbox():
    """Skips where there is none."""
    try:
        run(["/bin/true"])
    except PlatformError as error:
        pytest.skip(f"no sandbox here: {error}")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    return load(Path(__file__).with_name("toy_submission.py")).write_toy(
        tmp_path_factory.mktemp("toy") / "toy"
    )


@pytest.fixture(autouse=True)
def keys(tmp_path, monkeypatch):
    """Keys of the test's own."""
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def toy(trained, tmp_path) -> Path:
    """A copy of the toy submission to be changed."""
    shutil.copytree(trained, tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def verified(sandbox, toy, tmp_path):
    """Verifies the toy submission."""

    def go(submission=None, **options):
        return verify(str(submission or toy), tmp_path / "results", **options)

    return go


@pytest.fixture(scope="session")
def accepted(sandbox, trained, tmp_path_factory):
    """The whole verification of the toy submission as it is, done once."""
    place = tmp_path_factory.mktemp("accepted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUXIAN_CONFIG", str(place / "keys"))
        return verify(str(trained), place / "results")
