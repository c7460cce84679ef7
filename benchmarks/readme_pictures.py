"""The pictures of the README: a report at two widths, and what `fuxian align run` says of the guide's broken port.

    python benchmarks/readme_pictures.py [--out docs/pictures] [--runs RUNS]

Needs Chromium (apt-get install chromium), PyTorch and Omniglot. ``--runs`` names a folder of runs whose newest reports
of maml/omniglot-5way-1shot are shown, instead of evaluating it anew.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
FUXIAN = [sys.executable, "-m", "fuxian.cli.main"]
CLAIM = "maml/omniglot-5way-1shot"
PORT, REFERENCE = "examples/port_a_paper/broken_recipe.py", "examples/port_a_paper/torch_recipe.py"
COLUMNS = 100
SHOTS = (("report", "report.html", 1280, 860), ("report-narrow-zh", "report_zh.html", 390, 860))


def report(runs: Path | None, place: Path, page: str) -> Path:
    """The newest report of that name among the runs; made anew in ``place`` where no runs are given."""
    if runs is None:
        runs, language = place, "zh" if "zh" in page else "en"
        subprocess.run([*FUXIAN, "evaluate", CLAIM, "--out", runs, "--lang", language], check=True)
    (*_, newest) = sorted(runs.glob(f"{CLAIM.replace('/', '-')}-*/{page}"))
    return newest


def shoot(page: Path, width: int, height: int, out: Path) -> None:
    """A screenshot of a page's beginning as WebP."""
    chromium = (
        shutil.which("chromium") or shutil.which("chromium-browser") or sys.exit("Chromium is missing.")
    )
    with tempfile.TemporaryDirectory() as place:
        picture = Path(place) / "page.png"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={width},{height}", f"--screenshot={picture}", page.resolve().as_uri()]
        subprocess.run([chromium, *options], check=True, capture_output=True)
        Image.open(picture).convert("RGB").save(out, "WEBP", quality=82, method=6)


def terminal(out: Path) -> None:
    """What the command prints, as the terminal shows it."""
    words = ["align", "run", PORT, REFERENCE]
    colours = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    done = subprocess.run(
        [*FUXIAN, *words], cwd=ROOT, env=colours, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    out.write_text(as_svg(f"$ fuxian {' '.join(words)}\n{done.stdout}", "fuxian align run"), encoding="utf-8")


def as_svg(said: str, title: str) -> str:
    """Coloured text as an SVG that asks nothing of the network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said))
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for name, page, width, height in SHOTS:
            shoot(report(given.runs, Path(place), page), width, height, given.out / f"{name}.webp")
    terminal(given.out / "align.svg")


if __name__ == "__main__":
    main()
