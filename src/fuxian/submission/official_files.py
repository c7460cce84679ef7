"""Writes what the official layout wants beside a recipe: tools, scripts, TIPC, licence, requirements, headers."""

from __future__ import annotations

import datetime
import re

from fuxian.submission.checklist.documents import HEADER, HEADER_LINES
from fuxian.submission.checklist.submitted_files import CODE, look
from fuxian.submission.manifest import Manifest
from fuxian.submission.recipe_commands import PURPOSES
from fuxian.submission.templates import OFFICIAL, render, with_licence_header
from fuxian.submission.wheel import FOLDER as WHEELS
from fuxian.submission.wheel import wheel_name, write_wheel

TOOLS = {
    "train.py": "train",
    "eval.py": "evaluate",
    "predict.py": "predict",
    "export.py": "export",
    "infer.py": "infer",
}
SCRIPTS = {
    "train.sh": ("train.py", "--out=output"),
    "eval.sh": ("eval.py", "--out=output"),
    "infer.sh": ("infer.py", "--exported=output/exported --out=output/infer"),
    "export.sh": ("export.py", "--out=output/exported"),
}


def write_official_files(manifest: Manifest) -> list[str]:
    """Writes every official file that the submission lacks; the paths written, relative to its folder.

    Tools, scripts and TIPC need a recipe. Code without a licence header is given one where the licence is Apache-2.0.
    """
    files = {manifest.environment.requirements: (OFFICIAL / "requirements.txt").read_text()}
    if manifest.licence == "Apache-2.0":
        files["LICENSE"] = (OFFICIAL / "LICENSE").read_text()
    if manifest.recipe is not None:
        files |= _recipe_files(manifest)
    written = []
    for path, text in files.items():
        target = manifest.folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            written.append(path)
            if path.endswith(".sh"):
                target.chmod(0o755)
    if _asks_for_fuxian(manifest) and not (manifest.folder / WHEELS / wheel_name()).exists():
        for other in (manifest.folder / WHEELS).glob("fuxian-*.whl"):
            other.unlink()
        written.append(str(write_wheel(manifest.folder / WHEELS).relative_to(manifest.folder)))
    if manifest.licence == "Apache-2.0":
        written += _add_headers(manifest)
    return written


def _asks_for_fuxian(manifest: Manifest) -> bool:
    text = (manifest.folder / manifest.environment.requirements).read_text(encoding="utf-8", errors="replace")
    return re.search(r"(?mi)^fuxian\b", text) is not None


def _recipe_files(manifest: Manifest) -> dict[str, str]:
    claim = manifest.claim()
    model = manifest.paper.id.replace("-", "_")
    files = {
        f"tools/{file}": render("official/tool.py.j2", file=file, command=command, doc=PURPOSES[command])
        for file, command in TOOLS.items()
    }
    for name, (file, arguments) in SCRIPTS.items():
        files[f"scripts/{name}"] = render(
            "official/script.sh.j2", file=file, arguments=arguments, doc=PURPOSES[TOOLS[file]]
        )
    tipc = "test_tipc"
    checkpoint = manifest.checkpoint_of(claim) or "null"
    files |= {
        f"{tipc}/configs/{model}/train_infer_python.txt": render(
            "official/train_infer_python.txt.j2",
            model=model,
            iterations=claim.iterations,
            checkpoint=checkpoint,
        ),
        f"{tipc}/README.md": render("official/tipc_README.md.j2", model=model),
        f"{tipc}/docs/test_train_inference_python.md": render("official/tipc_doc.md.j2", model=model),
    }
    for name in ("test_train_inference_python.sh", "common_func.sh"):
        files[f"{tipc}/{name}"] = (OFFICIAL / name).read_text()
    return files


def _add_headers(manifest: Manifest) -> list[str]:
    tree = look(manifest)
    team = manifest.team.name if manifest.team else "the authors"
    year = datetime.datetime.now(tz=datetime.UTC).year
    changed = []
    for path in tree.named(*CODE):
        file = manifest.folder / path
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        head = "\n".join(text.splitlines()[:HEADER_LINES])
        if text.strip() and not HEADER.search(head):
            mode = file.stat().st_mode
            file.write_text(with_licence_header(text, year=year, team=team), encoding="utf-8")
            file.chmod(mode)
            changed.append(path)
    return changed
