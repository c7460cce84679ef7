"""The pages are the same on both databases: SQLite is enough."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import Browser, site


@pytest.fixture
def kind():
    return "sqlite"


@pytest.fixture
def app(arena):
    return site(arena.at)


@pytest.fixture
def browse(arena, app):
    """``browse(actor)`` is a browser in which the actor is logged in."""
    return lambda actor=None, language="en": Browser(app, arena.at, actor, language)
