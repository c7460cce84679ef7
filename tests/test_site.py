"""The documentation site is built in both languages without a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the site's builder is not installed: pip install -e '.[docs]'")
pytest.importorskip("material", reason="the site's theme is not installed: pip install -e '.[docs]'")

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("config", "language", "guide"),
    [("mkdocs.yml", "en", "A first hour"), ("mkdocs.zh.yml", "zh", "第一个小时")],
)
def test_the_site_is_built_without_a_warning(tmp_path, config, language, guide):
    arguments = ["build", "--strict", "--quiet", "--config-file", ROOT / config, "--site-dir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f'<html lang="{language}"' in home and guide in home
    api = (tmp_path / "api/index.html").read_text(encoding="utf-8")
    assert "fuxian.paddle_init.like_torch" in api and "model in evaluation mode" in api
    paper = (tmp_path / "papers/maml/index.html").read_text(encoding="utf-8")
    assert "Second order, truly" in paper
    assert "../src/" not in home
