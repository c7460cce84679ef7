"""Runs a user's Python file as ``python FILE`` would, siblings included, and reports its mistakes in one sentence."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from fuxian.errors import InputError
from fuxian.extras import how_to_install


@contextmanager
def mistakes_in(path: Path) -> Iterator[None]:
    """Turns what the user's code raises into an InputError that names the line."""
    try:
        yield
    except InputError:
        raise
    except SyntaxError as error:
        raise InputError(f"{error.filename}:{error.lineno}: {error.msg}; mend the file.") from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise InputError(f"{path}: PyTorch is not installed: {how_to_install('reference')}.") from error
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        place = f"{path}:{lines[-1].lineno}" if lines else str(path)
        said = (str(error).strip().splitlines() or [""])[-1]
        raise InputError(f"{place}: {type(error).__name__}: {said}; mend the file.") from error


def load_module(path: Path) -> ModuleType:
    """The module of a Python file, which may import its siblings.

    Two files may have siblings of the same name (both a ``model.py``): each gets its own. Raises InputError, with
    file and line, for whatever the file raises.
    """
    path = path.resolve()
    name = f"fuxian_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    with mistakes_in(path), _siblings_first(path.parent, name):
        sys.modules[name] = module
        spec.loader.exec_module(module)
    if str(path.parent) not in sys.path:  # For what is imported later, inside functions.
        sys.path.append(str(path.parent))
    return module


@contextmanager
def _siblings_first(folder: Path, name: str) -> Iterator[None]:
    """While open, imports look into the folder first; what came from there is then kept under names of its own."""
    siblings = {p.stem for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    siblings -= set(sys.stdlib_module_names)
    siblings -= {key for key, held in sys.modules.items() if _lies_in(held, folder)}
    hidden = {key: sys.modules.pop(key) for key in list(sys.modules) if key.partition(".")[0] in siblings}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for key in [key for key in sys.modules if key.partition(".")[0] in siblings]:
            sys.modules[f"{name}.{key}"] = sys.modules.pop(key)
        sys.modules.update(hidden)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)
