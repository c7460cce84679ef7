"""Pictures of the contest's pages, filled by the demonstration, for the guides.

    python benchmarks/contest_screenshots.py [--out docs/pictures]

Needs Chromium (apt-get install chromium) and playwright.
"""

import argparse
import io
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from fuxian.contest import demo
from fuxian.contest.place import create
from fuxian.contest.web.app import make_site

WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
PICTURES = (
    ("home", "/", WIDE, "light", "en", None),
    ("home-zh", "/", WIDE, "light", "zh", None),
    ("board", "/board", WIDE, "light", "en", None),
    ("board-zh", "/board", WIDE, "dark", "zh", None),
    ("submission", "/submissions/3", WIDE, "light", "en", "team3-0@demo.example"),
    ("rejudge", "/admin/rejudges/1", WIDE, "light", "en", "organiser@demo.example"),
    ("paper-narrow", "/papers/maml", NARROW, "light", "en", None),
    ("team-narrow-zh", "/team", NARROW, "dark", "zh", "team3-0@demo.example"),
)


def serve(folder):
    """The demonstration's address and what stops it."""
    at = create(folder, "2021")
    demo.fill(at)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_site(at), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)

    def stop():
        server.should_exit = True
        thread.join()

    return f"http://127.0.0.1:{port}", stop


def take(address, out):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, path, size, scheme, language, email in PICTURES:
            context = browser.new_context(
                base_url=address,
                viewport=size,
                color_scheme=scheme,
                locale=language,
                timezone_id="Asia/Shanghai",
            )
            page = context.new_page()
            if email is not None:
                page.goto("/log-in")
                page.fill("[name=email]", email)
                page.fill("[name=password]", demo.PASSWORD)
                page.click("main form button")
                page.goto(f"/language/{language}")
            page.goto(path)
            page.wait_for_load_state("networkidle")
            Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(
                out / f"contest-{name}.webp", quality=82, method=6
            )
            print(out / f"contest-{name}.webp", (out / f"contest-{name}.webp").stat().st_size)
            context.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    asked = parser.parse_args()
    for name in ("DATABASE_URL", "ARTIFACTS_URL"):
        os.environ.pop(name, None)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        address, stop = serve(Path(temporary) / "contest")
        try:
            take(address, asked.out)
        finally:
            stop()
