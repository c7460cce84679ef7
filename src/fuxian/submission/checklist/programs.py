"""Checks on the programs: the official scripts, the manifest's commands, TIPC, and what the port imports."""

from __future__ import annotations

import ast
import json
import re
import warnings
from pathlib import PurePosixPath

from fuxian.datasets.catalogue import CATALOGUE
from fuxian.datasets.root import find_root
from fuxian.submission.checklist.finding import Result, counted, failed, listed, passed
from fuxian.submission.checklist.submitted_files import SubmittedFiles
from fuxian.submission.manifest import PLACEHOLDERS

PROGRAMS = {
    "training": ("train.py", "tools/train.py", "main.py"),
    "evaluation": (
        "eval.py",
        "tools/eval.py",
        "val.py",
        "tools/val.py",
        "evaluate.py",
        "tools/evaluate.py",
        "test.py",
    ),
    "prediction": ("predict.py", "tools/predict.py", "infer.py", "tools/infer.py", "tools/infer/predict.py"),
    "export": ("export.py", "tools/export.py", "export_model.py", "tools/export_model.py"),
}
COMMANDS = {"training": "train", "evaluation": "evaluate", "prediction": "predict", "export": "export"}
"""The manifest's command for each task."""
SHELL = ("train", "eval", "infer", "export")
OTHER_FRAMEWORKS = frozenset(
    {
        "torch",
        "torchvision",
        "torchaudio",
        "tensorflow",
        "keras",
        "jax",
        "flax",
        "mxnet",
        "mindspore",
        "chainer",
        "caffe",
    }
)
REFERENCE_FOLDERS = frozenset({"reference", "tests", "test"})
TIPC_LINES = 51
TIPC_MARKS = {1: "train_params", 15: "trainer:", 23: "eval_params", 27: "infer_params"}


def scripts(tree: SubmittedFiles) -> Result:
    """A program for training, evaluation, prediction and export, and a shell script for each."""
    missing = [
        f"{task} ({places[1]})"
        for task, places in PROGRAMS.items()
        if not any(place in tree.files for place in places) and not _by_command(tree, task)
    ]
    if missing:
        return failed(
            f"no program for: {listed(missing)}", "add it; `fuxian package` writes them for a recipe"
        )
    absent = [f"scripts/{name}.sh" for name in SHELL if f"scripts/{name}.sh" not in tree.files]
    if absent:
        return failed(
            f"missing: {listed(absent)}", "add one line that calls the program with its usual arguments"
        )
    return passed("training, evaluation, prediction and export have their programs and scripts")


def _by_command(tree: SubmittedFiles, task: str) -> bool:
    """Whether a command of the manifest names a program of the repository for the task, whatever its name."""
    command = tree.manifest.commands.get(COMMANDS[task])  # type: ignore[call-overload]
    return command is not None and any(
        argument.rpartition("=")[2].removeprefix("./") in tree.files for argument in command.run
    )


def commands(tree: SubmittedFiles) -> Result:
    """Every file that the manifest's commands name is there, and the weights that a claim is about."""
    for name in tree.manifest.data:
        if name not in CATALOGUE and not (find_root() / name).is_dir():
            return failed(
                f"[data] names {name!r}, a data set that Fuxian does not know and this machine does not have",
                f"name one of {listed(sorted(CATALOGUE), 8)}, or put it into {find_root() / name}",
                "fuxian.toml",
            )
    for name, command in tree.manifest.commands.items():
        for argument in command.run:
            for placeholder in re.findall(r"\{[a-z_]{1,40}\}", argument):
                if placeholder not in PLACEHOLDERS:
                    return failed(
                        f"the command {name!r} holds {placeholder}, which nothing is put in place of",
                        f"use {', '.join(PLACEHOLDERS)}",
                        "fuxian.toml",
                    )
            path = argument.rpartition("=")[2]
            is_file = re.fullmatch(r"[\w./-]+\.(py|sh|ya?ml|json|toml)", path) and not path.startswith("/")
            known = {path.removeprefix("./")} & {*tree.files, *tree.links}
            if is_file and not known:
                return failed(
                    f"the command {name!r} names {path}, which is not there",
                    "mend the command",
                    "fuxian.toml",
                )
    there = {*tree.files, *tree.links, *tree.folders}
    mounted = tuple(f"{path.rstrip('/')}/" for path in tree.manifest.data.values())
    for claim in map(tree.manifest.paper.claim, tree.manifest.claims):
        weights = tree.manifest.checkpoint_of(claim)
        wanted = weights is not None and claim.subject == "weights" and not weights.startswith(mounted)
        if wanted and str(PurePosixPath(weights or "")) not in there:
            return failed(
                f"the checkpoint of {claim.id} is missing",
                "put the trained weights there, or mend checkpoint in fuxian.toml",
                weights,
            )
    return passed(f"{counted(len(tree.manifest.commands), 'command')}, their files are there", "fuxian.toml")


def tipc(tree: SubmittedFiles) -> Result:
    """test_tipc/: its README, docs, scripts, and configurations of 51 lines."""
    wanted = (
        "README.md",
        "docs/test_train_inference_python.md",
        "test_train_inference_python.sh",
        "common_func.sh",
    )
    lower = {path.lower() for path in tree.files}
    missing = [f"test_tipc/{name}" for name in wanted if f"test_tipc/{name}".lower() not in lower]
    if missing:
        return failed(f"missing: {listed(missing)}", "add them; `fuxian package` writes them for a recipe")
    found = [
        path for path in tree.files if re.fullmatch(r"test_tipc/configs/[^/]+/train_infer_python\.txt", path)
    ]
    if not found:
        return failed(
            "no test_tipc/configs/<model>/train_infer_python.txt",
            "add the configuration of the model",
            "test_tipc",
        )
    for path in sorted(found):
        lines = tree.text(path).rstrip("\n").splitlines()
        more = lines[TIPC_LINES] if len(lines) > TIPC_LINES else "==="
        if len(lines) < TIPC_LINES or not more.startswith("==="):
            return failed(
                f"{len(lines)} lines instead of {TIPC_LINES}, after which sections of benchmarks may follow",
                "keep unused lines as null:null",
                path,
                len(lines),
            )
        for number, mark in TIPC_MARKS.items():
            if mark not in lines[number - 1]:
                return failed(
                    f"{mark!r} belongs on this line", "keep the official order of lines", path, number
                )
        for number, line in enumerate(lines, start=1):
            if not (line.startswith(("##", "==")) or ":" in line):
                return failed("this line is no key:value", "write key:value, or null:null", path, number)
            named = re.match(r"(?:norm_train|eval|norm_export|infer_export|inference):(\S+\.py)\b", line)
            if named and named.group(1) not in tree.files:
                return failed(
                    f"{named.group(1)} is not there", "name a program of the repository", path, number
                )
    return passed(f"{counted(len(found), 'configuration')} of {TIPC_LINES} lines")


def port_code(tree: SubmittedFiles) -> Result:
    """The port is Paddle: no other framework outside reference/ and tests/, and no paddle.fluid."""
    read = 0
    for path in tree.named(".py", ".ipynb"):
        if REFERENCE_FOLDERS & set(PurePosixPath(path).parts[:-1]):
            continue
        read += 1
        source = tree.text(path)
        is_notebook = path.lower().endswith(".ipynb")
        for number, text in _cells(source) if is_notebook else [(1, source)]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    parsed = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                line = getattr(error, "lineno", None)
                where = f"cell {number}, line {line}: " if is_notebook else ""
                return failed(
                    f"{where}this is no Python 3",
                    "mend the syntax, or remove the file",
                    path,
                    None if is_notebook else line,
                )
            for module, line in _imports(parsed):
                where = f"cell {number}, line {line}: " if is_notebook else ""
                place = None if is_notebook else line
                if module.split(".")[0] in OTHER_FRAMEWORKS:
                    return failed(
                        f"{where}imports {module}",
                        "write it in Paddle, or move it to reference/ or tests/",
                        path,
                        place,
                    )
                if module.startswith("paddle.fluid"):
                    return failed(
                        f"{where}imports paddle.fluid", "use the API of Paddle 2 and later", path, place
                    )
    return passed(f"no other framework is imported in {counted(read, 'file')} of the port")


def _cells(source: str) -> list[tuple[int, str]]:
    """A notebook's code cells by their number among all its cells, from 1; their magic lines emptied."""
    try:
        cells = [
            (number, "".join(cell["source"]))
            for number, cell in enumerate(json.loads(source)["cells"], start=1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [(1, "")]
    return [(number, re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", text)) for number, text in cells]


def _imports(parsed: ast.Module) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, node.lineno))
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                found.append((str(first.value), node.lineno))
    return found
