"""MkDocs' hook: the papers' READMEs are pages of the site; links to other parts of the repository become words."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "src/fuxian/papers"
PICTURES = ROOT / "docs/pictures"
SWITCH = re.compile(r"(?m)^\[(中文|English)\]\([^)]*\)\n+")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: dict) -> dict:
    """Lists the papers in the navigation, so that a new one is there by itself."""
    for section in config["nav"]:
        for title, pages in section.items():
            if title in ("Papers", "论文"):
                pages[:] = [{_title(readme): f"papers/{readme.parent.name}.md"} for readme in _readmes()]
    return config


def _readmes() -> list[Path]:
    return sorted(PAPERS.glob("*/README.md"))


def _pictures() -> list[Path]:
    """The pictures that pages show: those of the guides, for both languages, and those beside a paper's README."""
    found = [*(ROOT / "docs/pictures").glob("*"), *PAPERS.glob("*/*.*")]
    return sorted(file for file in found if file.suffix in (".webp", ".png", ".jpg", ".svg"))


def _title(readme: Path) -> str:
    heading = readme.read_text(encoding="utf-8").partition("\n")[0]
    return heading.lstrip("# ").removesuffix(" on PaddlePaddle")


def on_files(files: Files, config: dict) -> Files:
    """Adds each paper's README as ``papers/ID.md``, and to the Chinese site the pictures and style of both."""
    if PICTURES.parent != Path(config["docs_dir"]):
        for picture in sorted(PICTURES.iterdir()):
            files.append(File.generated(config, f"pictures/{picture.name}", abs_src_path=str(picture)))
        style = ROOT / "docs/extra.css"
        files.append(File.generated(config, style.name, abs_src_path=str(style)))
    for readme in _readmes():
        text = readme.read_text(encoding="utf-8")
        files.append(File.generated(config, f"papers/{readme.parent.name}.md", content=text))
    for picture in _pictures():
        if files.get_file_from_path(f"pictures/{picture.name}") is None:
            files.append(File.generated(config, f"pictures/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: object, config: dict, files: Files) -> str:
    """Links of a page, rewritten for the site; the switch of languages is the site's own."""
    source = page.file.src_uri  # type: ignore[attr-defined]
    docs = Path(config["docs_dir"])
    here = PAPERS / Path(source).stem if source.startswith("papers/") else docs / Path(source).parent

    def rewritten(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if re.match(r"\w+:|#", target):
            return found.group()
        place = target.partition("#")[0]
        file = (here / place).resolve()
        up = "../" * len(Path(source).parent.parts)
        if picture and file in _pictures():
            return f"![{words}]({up}pictures/{file.name})"
        if file.is_relative_to(PAPERS) and file.name == "README.md":
            return f"{picture}[{words}]({up}papers/{file.parent.name}.md)"
        if file.is_relative_to(PICTURES):
            up = "../" * len(Path(source).parent.parts)
            return f"{picture}[{words}]({up}pictures/{file.name})"
        if file.is_relative_to(docs) and file.relative_to(docs).parts[:1] != ("zh",):
            return found.group()
        # Elsewhere in the repository, which the site does not hold.
        return words if not picture else ""

    return LINK.sub(rewritten, SWITCH.sub("", markdown))
