"""The environment: what may be asked for, and that nothing of it is run to install it."""

import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from fuxian.sandbox import Limits, run
from fuxian.submission.manifest import load_manifest
from fuxian.verify.environment import environment_for, requirements
from fuxian.verify.reasons import Failed, Reason


@pytest.fixture
def asks(toy):
    def manifest(text):
        (toy / "requirements.txt").write_text(text)
        return load_manifest(toy)

    return manifest


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch):
    """An index of the test's own, so that nothing is fetched, and a cache of its own."""
    house = tmp_path / "wheels"
    house.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    monkeypatch.setattr("fuxian.verify.environment.cache_folder", lambda: tmp_path / "cache")
    return house


def write_wheel(house, name, files):
    info = f"{name}-1.0.dist-info"
    everything = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*everything, f"{info}/RECORD"])
    with zipfile.ZipFile(house / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in (everything | {f"{info}/RECORD": record}).items():
            wheel.writestr(path, text)


def test_fuxians_own_environment_serves_where_it_has_all(asks):
    made = environment_for(asks("paddlepaddle>=3.0  # the framework\n\nnumpy\n"))
    assert (made.made, made.python) == ("reused", Path(sys.executable))
    assert set(made.packages) == {"numpy", "paddlepaddle", "setuptools"}
    other = environment_for(asks("paddlepaddle>=3.0\n"))
    assert other.lock != made.lock


def test_paddle_for_gpus_is_paddle_here(asks):
    assert environment_for(asks("paddlepaddle-gpu>=3.0\n")).made == "reused"


def test_fuxian_brings_what_it_needs_itself(asks):
    names = {one.name for one in requirements(asks("paddlepaddle\nfuxian\n"))}
    assert {"pydantic", "safetensors"} <= names
    assert "fuxian" not in names
    assert "torch" not in names


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--index-url https://example.org",
        "-r more.txt",
        ".",
        "./wheel-1.0-py3-none-any.whl",
        "git+https://example.org/x",
        "evil @ https://example.org/evil.whl",
        "evil @ file:///etc/passwd",
        "numpy; import os",
        "numpy --config-settings=x",
    ],
)
def test_a_line_that_is_more_than_a_name_is_refused(asks, line):
    with pytest.raises(Failed, match="line 2") as caught:
        requirements(asks(f"paddlepaddle\n{line}\n"))
    assert caught.value.reason is Reason.ENV


def test_a_package_with_source_alone_is_not_built(asks, wheelhouse, tmp_path):
    witness = tmp_path / "WITNESS"
    source = tmp_path / "evil-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(witness)!r}, 'w')\n")
    shutil.make_archive(str(wheelhouse / "evil-1.0"), "gztar", tmp_path, "evil-1.0")
    with pytest.raises(Failed, match="wheels") as caught:
        environment_for(asks("evil\n"))
    assert caught.value.reason is Reason.ENV
    assert not witness.exists()


def test_a_wheel_is_installed_and_nothing_of_it_is_run(asks, wheelhouse, tmp_path, sandbox):
    witness = tmp_path / "WITNESS"
    evil = f"import pathlib; pathlib.Path({str(witness)!r}).write_text('')"
    write_wheel(wheelhouse, "demo", {"demo.py": "figure = 42\n", "demo.pth": evil, "sitecustomize.py": evil})
    made = environment_for(asks("demo>=1\n"))
    assert (made.made, made.packages) == ("built", {"demo": "1.0"})
    wheel = hashlib.sha256((wheelhouse / "demo-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    assert made.archives == {"demo==1.0": wheel}
    # Another wheel of that version changes nothing from then on.
    write_wheel(wheelhouse, "demo", {"demo.py": "figure = 43\n"})
    again = environment_for(asks("demo>=1\n"))
    assert (again.made, again.archives) == ("cached", made.archives)
    assert not any(made.python.parents[1].rglob("demo.pth"))
    assert not any(made.python.parents[1].rglob("sitecustomize.py"))
    assert not witness.exists()
    outcome = run(
        ["python", "-c", "import demo, sys; print(demo.figure, 'numpy' in sys.modules)"],
        mounts=made.mounts,
        env=made.variables,
        limits=Limits(wall=30),
    )
    assert outcome.stdout == b"42 False\n", outcome.stderr
    assert not witness.exists()


def test_each_requirement_without_a_wheel_is_named(asks, wheelhouse):
    write_wheel(wheelhouse, "demo", {"demo.py": ""})
    with pytest.raises(Failed) as caught:
        environment_for(asks("demo>=2\nnowhere\ndemo>=1\n"))
    assert caught.value.reason is Reason.ENV
    assert "no wheels of demo>=2 (there are 1.0), nowhere;" in caught.value.sentence
    assert "requirements under [environment]" in caught.value.sentence


def test_a_python_that_submissions_do_not_run_on_is_said(asks, toy):
    text = (toy / "fuxian.toml").read_text()
    (toy / "fuxian.toml").write_text(f'{text}\n[environment]\npython = "3.7"\n')
    with pytest.raises(Failed, match=r"asks for Python 3\.7, and submissions run on 3\.11") as caught:
        environment_for(asks("paddlepaddle\n"))
    assert caught.value.reason is Reason.ENV


@pytest.mark.parametrize("line", ["x; " + "(" * 900, "a" * 2000])
def test_a_line_without_end_is_refused(asks, line):
    with pytest.raises(Failed, match="line 2"):
        requirements(asks(f"paddlepaddle\n{line}\n"))


def test_paddle_comes_with_setuptools_which_it_imports(asks):
    assert "setuptools" in {one.name for one in requirements(asks("paddlepaddle\n"))}
    assert "setuptools" not in {one.name for one in requirements(asks("numpy\n"))}
