"""The life of a contest in Debian's Chromium, in both languages, with axe's rules (WCAG 2.2 AA) on every page.

English is read at 1280 pixels in light colours, Chinese at 390 in dark ones.
"""

import importlib.resources
import importlib.util
import re
import shutil
import socket
import threading
import time
from datetime import timedelta

import pytest
import uvicorn
from browser import site
from sqlalchemy import select

from fuxian.contest.service import accounts, disputes, news
from fuxian.contest.service.context import Role
from fuxian.contest.store.models import Mail

PASSWORD = "long enough"  # noqa: S105
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS = {
    "en": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "locale": "en-GB"},
    "zh": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "zh-CN"},
}
PUBLIC = """
    / /rules /schedule /courses /papers /papers/maml /papers/paper-7 /board /board?day=2021-08-13&sort=-stars
    /submissions /submissions/1 /teams /teams/1 /announcements /announcements/1 /questions /final /audit?check=true
    /register /log-in /forgotten /reset?secret=x /confirm?secret=x /nothing
"""
KNOWN = """
    /team /account /notifications /papers/maml/submit /papers/arcface/register /papers/arcface /submissions/1 /questions
"""
ORGANISER = """
    /admin /admin/queue /admin/disputes /admin/rejudges /admin/rejudges/1 /admin/duplicates /admin/people /admin/teams
    /admin/announcements /admin/prizes /admin/outbox /admin/log /admin/exports /submissions/1 /judging /final
"""


@pytest.fixture(scope="module")
def chromium():
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install 'fuxian[dev]'")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def address(arena, app):
    """The contest on a port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(site(arena.at), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


class Reader:
    """A page of one person's browser, and what went wrong in it."""

    def __init__(self, chromium, address, language):
        self.context = chromium.new_context(base_url=address, timezone_id="Asia/Shanghai", **LOOKS[language])
        self.page = self.context.new_page()
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(f"{self.page.url}: {error}"))
        self.page.on("console", self._said)
        self.axe = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(
            encoding="utf-8"
        )

    def _said(self, message):
        # A page that answers 401 or 404 is noted as an error of loading; everything else is ours.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"{self.page.url}: {message.text}")

    def check(self, path=None):
        """Goes there; nothing may be wider than the screen, and axe may find nothing."""
        if path is not None:
            self.page.goto(path)
        self.page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wide > 0:
            self.faults.append(f"{self.page.url}: {wide} pixels wider than the screen")
        self.page.evaluate(self.axe)
        found = self.page.evaluate(f"axe.run({{runOnly: {RULES}}})")["violations"]
        for one in found:
            nodes = "; ".join(node["html"][:160] for node in one["nodes"][:3])
            self.faults.append(f"{self.page.url}: {one['id']} ({one['help']}): {nodes}")

    def sign_up(self, arena, email):
        page = self.page
        page.goto("/register")
        page.fill("[name=email]", email)
        page.fill("[name=name]", email.partition("@")[0])
        page.fill("[name=password]", PASSWORD)
        page.click("main form button")
        with arena.database.read() as session:
            texts = session.scalars(select(Mail.text).order_by(Mail.id.desc())).all()
        page.goto(next(text.strip() for text in texts if "/confirm?" in text))
        page.click("main form button")
        self.log_in(email)

    def log_in(self, email):
        self.page.goto("/log-in?next=/team")
        self.page.fill("[name=email]", email)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("main form button")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_life_of_a_contest(arena, address, chromium, language, tmp_path):
    say = {"en": 0, "zh": 1}[language]
    ada, bob = Reader(chromium, address, language), Reader(chromium, address, language)
    ada.sign_up(arena, "ada@example.org")
    ada.check()
    ada.page.fill("[name=name]", "少样本 Few Shots")
    ada.page.click("form[action='/team/found'] button")
    ada.page.click("form[action='/team/invite'] button")
    link = ada.page.inner_text("#invite").strip()
    ada.check()
    bob.sign_up(arena, "bob@example.org")
    bob.page.goto(re.sub(r"^.*?(?=/team/join)", "", link))
    bob.page.click("form[action='/team/join'] button")
    assert "Few Shots" in bob.page.inner_text("h1")

    ada.page.goto("/papers/maml/register")
    ada.page.click("main form button")
    ada.page.goto("/papers/maml/submit")
    bundle = tmp_path / "w.bundle"
    bundle.write_bytes(b"# v2 git bundle\n1")
    ada.page.fill("[name=commit]", "a" * 40)
    ada.page.set_input_files("[name=bundle]", bundle)
    ada.page.click("button[value=submit]")
    ada.page.wait_for_url("**/submissions/1")
    live = ada.page.locator("#live")
    assert ("In the queue", "前面还有 0 个")[say] in live.inner_text() or "0 before it" in live.inner_text()
    # The page follows the verification without being loaded again.
    arena.rule("rejected")
    live.get_by_text(("Not accepted", "未通过")[say]).first.wait_for(timeout=15_000)

    boss = arena.person(Role.organiser, password=accounts.hashed(PASSWORD))
    other = arena.team()[0]
    arena.submit(other)
    arena.rule("accepted")
    news.announce(arena.at, boss, zh=("结果", "已公布"), en=("Results", "are out"), paper=None)
    news.ask(arena.at, other, "Which split?", "maml")
    disputes.dispute(arena.at, other, 1, "look again")
    disputes.open_rejudge(arena.at, boss, [1], "to be sure")

    # The board's filter and sort change the address and keep the focus.
    reader = Reader(chromium, address, language)
    page = reader.page
    page.goto("/board")
    page.fill("#f-search", "meta")
    page.wait_for_url("**/board?*search=meta*")
    page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 1")
    page.goto("/board")
    page.focus("#sort-stars")
    page.keyboard.press("Enter")
    page.wait_for_selector("th[aria-sort=ascending] #sort-stars")
    assert page.evaluate("document.activeElement.id") == "sort-stars"
    page.locator(".chart canvas").wait_for()

    for path in PUBLIC.split():
        reader.check(path)
    for path in KNOWN.split():
        ada.check(path)
    arena.time = arena.at.contest.schedule.final + timedelta(hours=1)
    organiser = Reader(chromium, address, language)
    with arena.database.read() as session:
        email = session.get_one(accounts.Account, boss.account).email
    organiser.log_in(email)
    for path in ORGANISER.split():
        organiser.check(path)
    faults = [fault for one in (ada, bob, reader, organiser) for fault in one.faults]
    assert not faults, "\n".join(faults)


def test_a_countdown_and_local_times(arena, address, chromium):
    context = chromium.new_context(base_url=address, timezone_id="Europe/Berlin", locale="en-GB")
    page = context.new_page()
    page.goto("/schedule")
    assert "yours 2021-09-30 17:59 (GMT+2)" in page.inner_text("main")
    page.goto("/")
    # The reader's clock is years after this contest's: the countdown stands at nothing, and does not run below it.
    page.wait_for_function("document.querySelector('.clock').textContent.startsWith('0 d')")
