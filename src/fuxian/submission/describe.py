"""`fuxian describe`: a manifest for a repository that was made without one, from what its files show."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from fuxian.errors import InputError
from fuxian.submission.checklist.placeholders import TEMPLATE_YEAR
from fuxian.submission.checklist.submitted_files import SubmittedFiles, look
from fuxian.submission.manifest import FILE_NAME, Environment, Manifest, MetricSource
from fuxian.untrusted import parsed

PROGRAMS = {
    "train": ("train", "main", "run_train", "train_net"),
    "evaluate": ("eval", "evaluate", "val", "test", "valid", "validate", "main"),
    "predict": ("predict", "infer", "inference", "demo"),
    "export": ("export", "export_model"),
}
"""By command: names of programs, likeliest first."""
WEIGHTS = (".pdparams", ".safetensors", ".npz")
PICKLED = re.compile(r"(?i)model|param|weight|check|ckpt|best")
"""What is in the path of a .pkl that may hold weights; data lie in such files too."""
NO_PROGRAM = re.compile(r"(^|_)(utils?|extract|generate|make|prepare|convert|dataset|forward|backward)(_|$)")
"""Words of a program's name that is a helper of an evaluation, makes its data, or tests one part."""
ALIGNMENT = re.compile(r"(?i)(^|/)(align\w*|step1-5)/")
"""Folders of the programs that compared the port's parts with the reference's."""
LOGS = (".log", ".jsonl")
LIBRARY = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.Try,
)
"""Statements of a file that others import; a ``try`` there chooses between imports."""
SMALLEST_WEIGHTS = 100
"""Bytes: a file of weights below is a stand-in for one that was not uploaded."""
LARGEST_LISTED = 200
WITHOUT = frozenset(
    [
        "layout",
        "readme",
        "requirements",
        "licence",
        "headers",
        "scripts",
        "tipc",
        "port-code",
        "secrets",
        "limits",
        "pickles",
        "links",
        "contents",
        "git",
        "names",
        "leftovers",
    ]
)
"""Lines of the checklist that need no manifest."""
QUESTIONS = {
    "paper": "title, authors, venue, year and url of the paper",
    "claim": "what is claimed: dataset, split, metric, target and margin",
}


def undescribed(folder: Path) -> Manifest:
    """A manifest that says nothing, for the lines of the checklist in ``WITHOUT``."""
    return Manifest.model_construct(
        folder=folder,
        claims=(),
        licence="Apache-2.0",
        environment=Environment.model_construct(python="3.11", requirements=_requirements(folder)),
        commands={},
        metric=MetricSource(),
        recipe=None,
        data={},
        checkpoint=None,
        log=None,
        reference=None,
        team=None,
        waive=(),
    )


def describe(folder: Path) -> dict[str, Any]:
    """Writes ``fuxian.toml`` and returns what was ``found``, and what is still to be ``filled_in``.

    Raises InputError where there is one already, or no evaluation program can be found.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; check the path.")
    file = folder / FILE_NAME
    if file.exists() or file.is_symlink():
        raise InputError(f"{file} is there already; mend it by hand, or remove it first.")
    found = parsed(_found, folder, what=str(folder), seconds=60.0)
    if "evaluate" not in found["commands"]:
        raise InputError(
            f"{folder}: no program looks like an evaluation ({', '.join(PROGRAMS['evaluate'])}, as .py); write one, or"
            f" write {FILE_NAME} by hand."
        )
    file.write_text(_text(folder, found), encoding="utf-8")
    return {"file": str(file), "found": found, "filled_in": list(QUESTIONS.values())}


def _requirements(folder: Path) -> str:
    for name in ("requirements.txt", "requirement.txt", "requirements/requirements.txt"):
        if (folder / name).is_file() and not (folder / name).is_symlink():
            return name
    return "requirements.txt"


def _found(folder: Path) -> dict[str, Any]:
    tree = look(undescribed(folder))
    commands = {}
    for command, names in PROGRAMS.items():
        program = _program(tree, names)
        if program is not None:
            commands[command] = ["python", program, *_options(tree, program, command)]
        elif (scripted := _scripted(tree, names)) is not None:
            commands[command] = scripted
    pickled = [path for path in tree.named(".pkl") if PICKLED.search(path)]
    weights = _largest(tree, _shown(tree.named(*WEIGHTS))) or _largest(tree, _shown(pickled))
    logs = [
        path
        for path in _shown(tree.named(*LOGS, ".txt"))
        if re.search(r"(?i)log|train", PurePosixPath(path).name)
    ]
    logs = [path for path in logs if re.search(r"(?i)\bloss\b", tree.text(path)[:200_000])]
    return {
        "commands": commands,
        "requirements": _requirements(folder) if _requirements(folder) in tree.files else None,
        "checkpoint": weights,
        "log": logs[0] if logs else None,
    }


def _program(tree: SubmittedFiles, names: tuple[str, ...]) -> str | None:
    programs = [
        path
        for path in _shown(tree.named(".py"))
        if path.count("/") <= 2 and not ALIGNMENT.search(path) and _runs(tree.text(path))
    ]
    for name in names:
        near = [path for path in programs if PurePosixPath(path).stem.lower() == name]
        if near:
            return min(near, key=lambda path: (path.count("/"), path))
    # Flow_test.py, model_eval.py, train_net_2d.py; main_informer.py where nothing else is named so
    words = re.compile(rf"(^|[_\d])({'|'.join(name for name in names if name != 'main')})([_\d]|$)")
    stems = {path: PurePosixPath(path).stem.lower() for path in programs}
    near = [path for path, stem in stems.items() if words.search(stem) and not NO_PROGRAM.search(stem)]
    if not near and "main" in names:
        near = [path for path, stem in stems.items() if stem.startswith("main_")]
    return min(near, key=lambda path: (path.count("/"), path)) if near else None


def _scripted(tree: SubmittedFiles, names: tuple[str, ...]) -> list[str] | None:
    """The first command over a program of the repository in a shell script of one of the names."""
    scripts = {path: PurePosixPath(path).stem.lower() for path in _shown(tree.named(".sh"))}
    for path in sorted(scripts, key=lambda path: (path.count("/"), path)):
        if scripts[path] not in names or scripts[path] == "main":
            continue
        for line in tree.text(path).replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            of_here = len(words) > 1 and words[0] in ("python", "python3") and words[1] in tree.files
            if of_here and not any("$" in word for word in words):
                return ["python", *words[1:]]
    return None


def _runs(source: str) -> bool:
    """Whether a file does something when it is run, and does not only define what others import."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    return any(
        not isinstance(one, LIBRARY)
        and not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in statements
    )


def _options(tree: SubmittedFiles, program: str, command: str) -> list[str]:
    """Options of the program that take what Fuxian puts in place: the weights, and the seed of a training."""
    text = tree.text(program)
    options = re.findall(r"add_argument\(\s*[\"'](--[A-Za-z][\w-]{0,40})[\"']", text)[:LARGEST_LISTED]
    wanted = {
        "{checkpoint}": r"--(weights?|checkpoint|ckpt|pretrained|params|model[-_]?path|resume|load)$",
        **({"{seed}": r"--seed$"} if command == "train" else {}),
    }
    if command == "train":
        wanted.pop("{checkpoint}")
    found = []
    for placeholder, pattern in wanted.items():
        option = next((one for one in options if re.match(pattern, one)), None)
        if option is not None:
            found += [option, placeholder]
    return found


def _shown(paths: Iterable[str]) -> list[str]:
    """Those that lie in no hidden folder: what an editor keeps there are copies of old."""
    return [path for path in paths if not any(part.startswith(".") for part in PurePosixPath(path).parts)]


def _largest(tree: SubmittedFiles, paths: Iterable[str]) -> str | None:
    found = [path for path in paths if "lite_data" not in path and tree.files[path] >= SMALLEST_WEIGHTS]
    return max(found, key=lambda path: tree.files[path]) if found else None


def _text(folder: Path, found: dict[str, Any]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "paper"
    quoted = json.dumps
    lines = [
        "# Written by `fuxian describe` from what the repository shows; fill in what is marked.",
        'claims = ["main"]',
        *([f"checkpoint = {quoted(found['checkpoint'])}"] if found["checkpoint"] else []),
        "",
        "[paper]",
        f"id = {quoted(name)}",
        'title = "fill in"',
        'authors = ["fill in"]',
        'venue = "fill in"',
        f"year = {TEMPLATE_YEAR}  # fill in",
        'url = "https://example.org/fill-in"',
        "",
        "[[claim]]",
        'id = "main"',
        'title = "fill in"',
        'dataset = "fill in"',
        'split = "test"',
        'metric = "accuracy"',
        'unit = "accuracy"',
        'direction = "higher"',
        'scope = "scaled"',
        'subject = "weights"',
        "# target = 0.9     # fill in: what is to be reached",
        "# margin = 0.01    # fill in: how far below the target is still as good",
        'checkpoint = "last"',
        "seeds = [0]",
        "iterations = 1     # fill in: how many steps the training made",
        "",
        "[commands]",
        *(f"{command} = {quoted(words)}" for command, words in found["commands"].items()),
        "",
        "[metric]",
        "# fill in: what evaluate prints the figure after",
        "pattern = '(?i)acc[a-z0-9]*[ :=]+(?P<accuracy>[0-9.]+)'",
        "",
    ]
    if found["requirements"]:
        lines += ["[environment]", f"requirements = {quoted(found['requirements'])}", ""]
    if found["log"]:
        form = "jsonl" if found["log"].endswith(".jsonl") else "text"
        lines += ["[log]", f"file = {quoted(found['log'])}", f'format = "{form}"', ""]
    return "\n".join(lines)
