"""A package's notebook where Fuxian is not installed: its cells install it from the wheel that the package carries."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest

from fuxian.submission.manifest import load_manifest
from fuxian.submission.notebook import make_notebook, write_notebook
from fuxian.submission.official_files import write_official_files
from fuxian.submission.results import read_results


@pytest.fixture
def clean(tmp_path):
    """An interpreter with the packages of this one, Fuxian excepted."""
    folder = tmp_path / "clean"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    beside = tmp_path / "packages"
    beside.mkdir()
    for entry in Path(site.getsitepackages()[0]).iterdir():
        if "fuxian" not in entry.name:
            (beside / entry.name).symlink_to(entry)
    (installed,) = folder.glob("lib/python*/site-packages")
    (installed / "packages.pth").write_text(f"{beside}\n")
    return folder / "bin" / "python"


def test_the_notebook_installs_fuxian_and_evaluates(submission, clean, edit, tmp_path):
    """With no index to ask, so that nothing but the wheel can be what is installed."""
    (submission / "requirements.txt").unlink()
    edit(
        "tools/eval.py",
        "import argparse",
        "import argparse\nimport fuxian.recipe\nprint('from', fuxian.__file__)",
    )
    manifest = load_manifest(submission)
    write_official_files(manifest)
    notebook = make_notebook(manifest, read_results(manifest))
    write_notebook(notebook, tmp_path / "notebook.ipynb")
    cells = nbformat.read(tmp_path / "notebook.ipynb", as_version=4).cells
    program = "\n\n".join(cell.source for cell in cells if cell.cell_type == "code")
    program = program.replace('find_spec("paddle")', 'find_spec("fuxian")')
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))
    }
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_BUILD_ISOLATION": "1"}
    absent = subprocess.run([clean, "-c", "import fuxian"], capture_output=True, env=environment, check=False)
    assert absent.returncode != 0
    done = subprocess.run(
        [clean, "-c", program], cwd=submission, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "top1 acc: 91.25" in done.stdout
    assert f"from {clean.parents[1]}" in done.stdout
    assert sys.executable != str(clean)
