"""What people do in the pages, without JavaScript."""

import json
import re
import subprocess
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from browser import Browser, site, words
from sqlalchemy import select

from fuxian.contest import demo
from fuxian.contest.board import views
from fuxian.contest.place import create
from fuxian.contest.service import accounts, tallies
from fuxian.contest.service.context import Actor, Role
from fuxian.contest.store.models import Account, Mail, Submission, Tally, Team
from fuxian.errors import InputError

PASSWORD = "long enough"  # noqa: S105
BUNDLE = b"# v2 git bundle\n1"


def mailed(arena, word):
    """The path of the last mailed link."""
    with arena.database.read() as session:
        texts = session.scalars(select(Mail.text).order_by(Mail.id.desc())).all()
    return next(text.strip() for text in texts if f"/{word}?" in text)


def signed_up(arena, app, email):
    browser = Browser(app, arena.at)
    made = browser.fill("/register", email=email, name=email[:3], password=PASSWORD)
    assert "Open the link" in words(made)
    page = browser.get(mailed(arena, "confirm"))
    secret = re.search(r'name="secret" value="([^"]+)"', page.text)[1]
    assert "is confirmed" in words(browser.fill("/confirm", secret=secret))
    browser.fill("/log-in", email=email, password=PASSWORD, next="/team")
    return browser


def test_from_account_to_winner(arena, app):
    ada = signed_up(arena, app, "ada@example.org")
    assert "The team is founded" in words(ada.fill("/team/found", name="Few Shots"))
    link = re.search(r"/team/join\?secret=[\w-]+", ada.fill("/team/invite").text)[0]
    bob = signed_up(arena, app, "bob@example.org")
    assert link.partition("secret=")[2] in bob.get(link).text
    assert "You joined the team" in words(bob.fill("/team/join", secret=f"https://contest.example{link}"))
    assert "was used" in words(bob.fill("/team/join", secret=link)) or "each person" in words(
        bob.fill("/team/join", secret=link)
    )

    page = ada.fill("/papers/maml/register", repo="")
    assert "Your team is registered" in words(page)
    assert "Reference run holds" in words(ada.fill("/papers/maml/reference", figure="0.98"))
    fields = {"commit": "a" * 40, "files": {"bundle": ("w.bundle", BUNDLE)}}
    dry = words(ada.fill("/papers/maml/submit", act="check", **fields))
    assert "nothing was submitted" in dry and "It would be taken now" in dry
    with arena.database.read() as session:
        assert session.scalar(select(Submission.id)) is None
    page = ada.fill("/papers/maml/submit", act="submit", **fields)
    assert "was received" in words(page) and "0 before it in the queue" in words(page)
    following = re.search(r'hx-get="(/submissions/1/live\?seen=\w+)" hx-trigger="every 3s"', page.text)[1]
    assert ada.get(following).status_code == 204
    receipt = ada.get("/submissions/1/receipt.json").json()
    assert "signature" in json.dumps(receipt)
    arena.rule("accepted")
    live = bob.get(following)
    assert "Won" in words(live) and "hx-trigger" not in live.text
    board = words(Browser(app, arena.at).get("/board"))
    assert "Few Shots" in board and "#1" in board
    assert "received" in words(bob.get("/notifications"))
    assert 'class="count"' not in bob.fill("/notifications/read").text


def test_a_mail_that_was_sent_by_hand_waits_no_longer(arena, browse):
    arena.submit(arena.team(size=2)[0])
    boss = browse(arena.person(Role.organiser))
    page = boss.get("/admin/outbox").text
    ids = re.findall(r'name="mail" value="(\d+)"', page)
    first, *others = sorted(set(ids), key=int)
    assert others and "mailto:" in page
    said = boss.fill("/admin/outbox/sent", mail=first).text
    left = set(re.findall(r'name="mail" value="(\d+)"', said))
    assert left == set(others)
    boss.fill("/admin/outbox/sent", mail=others)
    assert 'name="mail"' not in boss.get("/admin/outbox").text
    assert "mail.sent_by_hand" in words(boss.get("/admin/log"))


MANIFEST = """\
paper = "maml"
claims = ["omniglot-5way-1shot"]
checkpoint = "weights.safetensors"
[commands]
evaluate = ["python", "eval.py"]
[metric]
pattern = 'accuracy: (?P<accuracy>[0-9.]+)'
"""


def test_a_dry_run_reads_the_files(arena, browse, tmp_path):
    """The acceptance checklist of what is at the commit, as ``fuxian check`` reports it."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "README.md").write_text("MAML on Paddle")
    (repo / "fuxian.toml").write_text("this is no manifest")

    def git(*line):
        names = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(["git", "-C", repo, *names, *line], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "work")
    git("bundle", "create", "-q", str(tmp_path / "w.bundle"), "HEAD")
    commit = git("rev-parse", "HEAD")
    browser = browse(arena.team()[0])
    files = {"bundle": ("w.bundle", (tmp_path / "w.bundle").read_bytes())}
    said = words(browser.fill("/papers/maml/submit", act="check", commit=commit, files=files))
    assert "It would be taken now" in said and "failed fuxian.toml" in said
    assert str(tmp_path) not in said and "fuxian-contest-" not in said
    said = words(browser.fill("/papers/maml/submit", act="check", commit="b" * 40, files=files))
    assert "no head of the bundle" in said

    (repo / "fuxian.toml").write_text(MANIFEST)
    git("commit", "-qam", "a manifest")
    git("bundle", "create", "-q", str(tmp_path / "w.bundle"), "HEAD")
    files = {"bundle": ("w.bundle", (tmp_path / "w.bundle").read_bytes())}
    fields = {"act": "check", "commit": git("rev-parse", "HEAD"), "files": files}
    said = words(browser.fill("/papers/maml/submit", **fields))
    assert "failed Licence: there is no LICENSE; add the text" in said
    browser.get("/language/zh")
    said = words(browser.fill("/papers/maml/submit", **fields))
    assert "未通过 许可证：没有 LICENSE。请加入 Apache License 2.0 全文" in said and "there is no" not in said


def test_refusals_are_said_where_the_form_is(arena, app, browse):
    browser = browse()
    assert "wrong" in words(browser.fill("/log-in", email="a@example.org", password=PASSWORD))
    page = browser.fill("/register", email="no address", name="A", password=PASSWORD)
    assert page.status_code == 409 and 'value="no address"' in page.text
    captain = browse(arena.team()[0])
    page = captain.fill("/papers/arcface/submit", commit="a" * 40, repo="https://github.com/a/b")
    assert page.status_code == 409 and "Register for the paper first" in words(page)
    arena.time = arena.at.contest.schedule.registration_closes
    page = words(captain.fill("/papers/arcface/register", repo="https://github.com/a/b"))
    assert "Registration closed at 2021-09-24 23:59 (GMT+8)" in page


def test_a_refusal_says_the_time_in_the_readers_zone_too(arena, browse):
    person = arena.person(timezone="Europe/Berlin")
    reader = browse(person)
    arena.time = arena.at.contest.schedule.registration_closes
    page = words(reader.fill("/team/found", name="Late"))
    assert "closed at 2021-09-24 23:59 (GMT+8)" in page and "yours 2021-09-24 17:59 (GMT+2)" in page
    token = {"Authorization": f"Bearer {accounts.new_token(arena.at, person, 'test')}"}
    said = reader.post("/api/v1/teams", json={"name": "Late"}, headers=token).json()["error"]
    assert said["code"] == "closed" and said["moment"] == "2021-09-24T23:59:00+08:00"


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"]
)
def test_a_log_in_leads_nowhere_else(arena, browse, where):
    page = browse().get("/language/en", params={"next": where}, follow_redirects=False)
    assert page.headers["location"] == "/"


def test_both_languages(arena, app, browse):
    zh, en = browse(language="zh-CN,zh;q=0.9"), browse(language="en-GB")
    assert '<html lang="zh-CN">' in zh.get("/").text and "排行榜" in words(zh.get("/board"))
    assert '<html lang="en">' in en.get("/").text and "Board" in words(en.get("/board"))
    en.get("/language/zh?next=/board")
    assert "排行榜" in words(en.get("/board"))
    for page in ("/rules", "/schedule", "/papers", "/final", "/courses", "/register", "/papers/maml"):
        assert not re.search("[\u4e00-\u9fff]", words(browse(language="en").get(page)).replace("中文", "")), (
            page
        )


def test_what_the_contest_says_is_shown(browse):
    page = browse(language="zh")
    rules = words(page.get("/rules"))
    assert "最先达到精度者胜" in rules and "¥15,000" in rules and "税前" in rules and "¥1,000,000" in rules
    schedule = words(page.get("/schedule"))
    for moment in ("2021-08-13 12:00 (GMT+8)", "2021-09-30 23:59 (GMT+8)", "2021-11-07 09:00 (GMT+8)"):
        assert moment in schedule
    final = words(page.get("/final"))
    assert "深圳" in final and "三名队员住宿" in final and "队伍代表一人往返路费" in final
    assert "目标检测论文复现" in words(page.get("/courses"))
    paper = words(browse(language="en").get("/papers/maml"))
    assert "98.7 %" in paper and "0.4 %" in paper and "drawn after the commit is fixed" in paper


def test_times_are_the_contests_and_the_readers(arena, browse):
    reader = browse(arena.person(timezone="Europe/Berlin"))
    assert "2021-09-30 23:59 (GMT+8) yours 2021-09-30 17:59 (GMT+2)" in words(reader.get("/schedule"))


def test_the_board_is_filtered_and_sorted_by_its_address(arena, browse):
    captain = arena.team()[0]
    arena.submit(captain)
    arena.rule("accepted")
    browser = browse()

    def ids(query):
        return [line["id"] for line in browser.get(f"/board.json?{query}").json()["papers"]]

    assert ids("state=won") == ["maml"]
    assert ids("stars=3&state=open&sort=-number") == ["sparse-rcnn", "psenet"]
    assert ids("search=team2") == ["maml"] and ids("search=no+such") == []
    assert ids("day=&stars=&state=won&search=") == ["maml"]
    page = browser.get("/board?sort=-stars&stars=2")
    assert 'aria-sort="descending"' in page.text and page.text.count('aria-sort="none"') == 6
    assert browser.get("/board?sort=nonsense").status_code == 422
    assert "paper=maml&amp;status=won" in page.text


def test_the_board_of_any_day(arena, browse):
    a, b = arena.team()[0], arena.team()[0]
    arena.submit(a)
    arena.time += timedelta(days=1)
    arena.rule("rejected")
    arena.submit(b)
    arena.time += timedelta(days=2)
    arena.rule("accepted")
    browser = browse()
    seen = {}
    for day in ("2021-08-12", "2021-08-13", "2021-08-14", "2021-08-15", "2021-08-16"):
        line = browser.get(f"/board.json?day={day}").json()["papers"][0]
        seen[day[-2:]] = (line["registered"], line["status"], line["state"])
    assert seen == {
        "12": (0, {}, "open"),
        "13": (2, {"queued": 1}, "open"),
        "14": (2, {"rejected": 1, "queued": 1}, "open"),
        "15": (2, {"rejected": 1, "queued": 1}, "open"),
        "16": (2, {"rejected": 1, "won": 1}, "won"),
    }
    # Within a day the changes themselves are counted, and that agrees with the sums.
    noon = arena.at.contest.schedule.opens + timedelta(days=1, hours=0.5)
    assert views.board(arena.at, day=noon)["papers"][0]["status"] == {"queued": 1}

    def counted(session):
        return {
            (row.paper, row.day, row.status, row.count) for row in session.scalars(select(Tally)) if row.count
        }

    with arena.database.write() as session:
        before = counted(session)
        tallies.rebuild(arena.at, session)
        assert counted(session) == before


def test_feeds_and_tables(arena, browse):
    captain = arena.team()[0]
    with arena.database.write() as session:
        session.query(Team).update({"name": "=cmd()"})
    arena.submit(captain)
    arena.rule("accepted")
    browser = browse()
    lines = browser.get("/board.csv").text.splitlines()
    assert len(lines) == 11 and "'=cmd()" in lines[1]
    feed = ElementTree.XML(browser.get("/board.atom").text)
    entries = feed.findall("{http://www.w3.org/2005/Atom}entry")
    assert len(entries) == 2 and "Won" in entries[0].find("{http://www.w3.org/2005/Atom}title").text
    assert ElementTree.XML(browser.get("/announcements.atom").text).tag.endswith("feed")
    assert "| 序号 |" in browser.get("/board.md").text


def test_what_people_wrote_is_no_markup(arena, browse):
    captain = arena.team()[0]
    evil = "<script>alert(1)</script>"
    browser = browse(captain)
    browser.fill("/questions", text=evil)
    arena.submit(captain)
    arena.rule("rejected")
    browser.fill("/submissions/1/dispute", text=evil)
    organiser = browse(arena.person(Role.organiser))
    for path in ("/questions", "/submissions/1", "/admin/disputes", "/admin/log"):
        page = organiser.get(path)
        assert evil not in page.text and "alert(1)" in page.text, path


def test_an_organisers_day(arena, browse):
    """A review decided, an appeal upheld, a rejudge compared and applied, an announcement, a grant, a ban."""
    captain, other = arena.team()[0], arena.team()[0]
    boss = browse(arena.person(Role.organiser))
    arena.submit(captain)
    arena.rule("inconclusive")
    arena.rule("inconclusive")
    assert "#1" in words(boss.get("/admin/queue"))
    assert "on record" in words(
        boss.fill("/admin/submissions/1/decision", ruling="rejected", reasons="too few")
    )
    browse(captain).fill("/submissions/1/dispute", text="the seed was ours")
    arena.submit(other)
    arena.rule("accepted")
    assert "1 challenges and appeals" in words(boss.get("/admin"))
    page = boss.fill("/admin/disputes/1", holds="yes", reasons="we look again")
    assert "Rejudge 1" in words(page) and "Running" in words(page)
    arena.rule("accepted")
    page = words(boss.get("/admin/rejudges/1"))
    assert "Winner: #2 → #1" in page and "#2: Won → Void" in page
    assert "is applied" in words(boss.fill("/admin/rejudges/1/apply"))
    assert arena.statuses() == ["won", "void"]
    assert "another team reached the accuracy first" in words(browse(other).get("/submissions/2"))
    fields = {
        "title_zh": "结果",
        "text_zh": "已公布",
        "title_en": "Results",
        "text_en": "are out",
        "paper": "maml",
    }
    page = boss.fill("/admin/announcements", **fields)
    assert "is published" in words(page) and "【结果】" in page.text
    assert "Results" in words(browse(captain).get("/notifications"))
    boss.fill("/admin/teams/1/grant", hours="24", note="good progress")
    assert "24 hours granted" in words(browse(captain).get("/team"))
    boss.fill(f"/admin/people/{captain.account}/ban", reasons="two accounts")
    assert browse(captain).fill("/team/invite").status_code == 403
    assert len(boss.get("/admin/exports/submissions.jsonl").text.splitlines()) == 2
    assert "Everything agrees" in words(boss.get("/audit?check=true"))


def test_the_final(arena, browse):
    captain = arena.team()[0]
    arena.submit(captain)
    arena.rule("accepted")
    arena.time = arena.at.contest.schedule.final
    judge = browse(arena.person(Role.judge))
    for criterion, score in (("reproduction", "90"), ("method", "80"), ("defence", "70")):
        judge.fill("/judging/maml", criterion=criterion, score=score)
    assert "81.00" in words(judge.get("/final"))
    assert judge.fill("/judging/maml", criterion="method", score="101").status_code == 409
    team = browse(captain)
    assert "Saved" in words(team.fill("/deliverables/maml/report", link="https://example.org/report"))
    boss = browse(arena.person(Role.organiser))
    boss.fill("/admin/deliverables/maml/report", good="yes")
    boss.fill("/admin/prizes/maml/travel", state="promised")
    final = words(judge.get("/final"))
    assert "report confirmed" in final and "travel Promised" in final
    assert boss.fill("/admin/prizes/maml/prize", state="paid").status_code == 409


def test_errors_are_pages(browse):
    page = browse().get("/papers/none")
    assert page.status_code == 404 and "no paper" in words(page)
    assert browse().get("/nothing").status_code == 404
    assert "text/html" in browse().get("/nothing").headers["content-type"]
    assert browse().get("/api/v1/nothing").json()["error"]["code"] == "missing"
    assert browse().get("/submissions/99").status_code == 404
    assert browse().get("/submissions/99999999999").status_code in (404, 422)


def test_the_demonstration_fills_every_page(tmp_path, monkeypatch):
    for name in ("DATABASE_URL", "ARTIFACTS_URL"):
        monkeypatch.delenv(name, raising=False)
    at = create(tmp_path / "contest", "2021")
    demo.fill(at)
    with at.database.read() as session:
        people = {account.email: account for account in session.scalars(select(Account))}
    boss = Browser(site(at), at, Actor(people["organiser@demo.example"].id, Role.organiser))
    captain = Browser(boss.app, at, Actor(people["team3-0@demo.example"].id, Role.entrant))
    filled = [
        "/",
        "/papers/maml",
        "/board",
        "/submissions",
        "/submissions/3",
        "/teams",
        "/teams/3",
        "/announcements",
        "/questions",
        "/final",
        "/courses",
        "/admin",
        "/admin/disputes",
        "/admin/rejudges",
        "/admin/rejudges/1",
        "/admin/duplicates",
        "/admin/people",
        "/admin/teams",
        "/admin/prizes",
        "/admin/outbox",
        "/admin/log",
    ]
    for browser, paths in ((boss, filled), (captain, ["/team", "/notifications", "/submissions/3"])):
        for path in paths:
            page = browser.get(path)
            assert page.status_code == 200 and 'class="empty"' not in page.text, path
    assert captain.get("/submissions/3/evidence").content[:2] == b"\x1f\x8b"
    assert "Everything agrees" in words(boss.get("/audit?check=true"))
    with pytest.raises(InputError, match="not empty"):
        demo.fill(at)
    at.database.close()
