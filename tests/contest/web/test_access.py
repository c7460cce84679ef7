"""Every page and form, and who may have it. A new one without a line here fails."""

import re
from collections import defaultdict
from datetime import timedelta

import pytest
from browser import Browser, site

from fuxian.contest.api import organiser, public, team
from fuxian.contest.service import disputes, news, teams
from fuxian.contest.service.context import Role

ANYONE, KNOWN, JUDGE, ORGANISER = range(4)
RULES = {
    ANYONE: """
        GET / GET /rules GET /schedule GET /courses GET /papers GET /papers/{paper} GET /board GET /board.json
        GET /board.csv GET /board.atom GET /board.md GET /submissions GET /submissions/{id} GET /submissions/{id}/live
        GET /teams GET /teams/{id} GET /announcements GET /announcements.atom GET /announcements/{id} GET /questions
        GET /final GET /audit GET /language/{language} GET /register POST /register GET /confirm POST /confirm
        GET /log-in POST /log-in POST /log-out GET /forgotten POST /forgotten GET /reset POST /reset
    """,
    KNOWN: """
        GET /account POST /account POST /account/identity/{site} POST /account/token POST /account/tokens/end
        GET /notifications POST /notifications/read GET /team POST /team/found POST /team/invite GET /team/join
        POST /team/join POST /team/links/end POST /team/leave POST /team/dissolve POST /team/remove POST /team/captain
        POST /team/merge POST /team/merge/{offer} GET /papers/{paper}/register POST /papers/{paper}/register
        POST /papers/{paper}/reference GET /papers/{paper}/submit POST /papers/{paper}/submit
        GET /submissions/{id}/receipt.json GET /submissions/{id}/evidence POST /submissions/{id}/withdraw
        POST /submissions/{id}/dispute POST /questions POST /deliverables/{paper}/{deliverable}
    """,
    JUDGE: "GET /judging POST /judging/{paper}",
    ORGANISER: """
        GET /admin GET /admin/queue POST /admin/submissions/{id}/decision GET /admin/rejudges POST /admin/rejudges
        GET /admin/rejudges/{id} POST /admin/rejudges/{id}/apply POST /admin/rejudges/{id}/cancel GET /admin/disputes
        POST /admin/disputes/{id} GET /admin/duplicates POST /admin/duplicates POST /admin/duplicates/{id}
        GET /admin/people POST /admin/people/{id}/confirm POST /admin/people/{id}/role
        POST /admin/people/{id}/affiliation
        POST /admin/people/{id}/false-identity POST /admin/people/{id}/ban POST /admin/people/{id}/unban
        GET /admin/teams POST /admin/teams/{id}/disqualify POST /admin/teams/{id}/reinstate POST /admin/teams/{id}/grant
        GET /admin/announcements POST /admin/announcements POST /admin/questions/{id} GET /admin/prizes
        POST /admin/deliverables/{paper}/{deliverable} POST /admin/prizes/{paper}/{what} GET /admin/outbox
        POST /admin/outbox/sent GET /admin/log GET /admin/exports GET /admin/exports/log.jsonl
        GET /admin/exports/submissions.jsonl GET /admin/exports/winners.jsonl
    """,
}
LEVEL = {
    tuple(pair): level
    for level, text in RULES.items()
    for pair in zip(text.split()[::2], text.split()[1::2], strict=True)
}
OWN = {
    "/submissions/{id}/receipt.json",
    "/submissions/{id}/evidence",
    "/submissions/{id}/withdraw",
    "/deliverables/{paper}/{deliverable}",
}
"""Of a team: denied to everybody else, however well known."""


def routes(app):
    """(method, path) of everything that is no API and no probe."""
    found = set()
    for part in app.routes:
        inner = getattr(part, "original_router", None)
        if inner in (public.router, team.router, organiser.router):
            continue
        for route in [part] if inner is None else inner.routes:
            if route.path.startswith(("/api/", "/static")) or route.path in ("/health", "/ready", "/metrics"):
                continue
            found |= {(method, route.path) for method in route.methods if method != "HEAD"}
    return found


def filled(path):
    values = {
        "paper": "maml",
        "site": "competition",
        "language": "en",
        "deliverable": "report",
        "what": "prize",
    }
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], "1"), path)


@pytest.fixture
def played(arena):
    """One of everything there is: ids of 1 exist."""
    captain, member = arena.team(size=2)
    other = arena.team()[0]
    boss = arena.person(Role.organiser)
    arena.submit(captain)
    arena.rule("rejected")
    arena.submit(other)
    arena.rule("inconclusive")
    arena.rule("inconclusive")
    disputes.dispute(arena.at, captain, 1, "look again")
    disputes.open_rejudge(arena.at, boss, [1], "to be sure")
    news.ask(arena.at, captain, "when?", None)
    news.announce(arena.at, boss, zh=("标题", "正文"), en=("Title", "text"), paper=None)
    teams.offer_merge(arena.at, other, 1)
    arena.time += timedelta(minutes=1)
    return {
        "stranger": None,
        "outsider": other,
        "member": member,
        "captain": captain,
        "judge": arena.person(Role.judge),
        "organiser": boss,
    }


MAY = {"stranger": ANYONE, "judge": JUDGE, "organiser": ORGANISER}


def test_every_route_has_a_rule(app):
    assert routes(app) == set(LEVEL)


@pytest.mark.parametrize("who", ["stranger", "outsider", "member", "captain", "judge", "organiser"])
def test_every_route_and_role(arena, app, played, who):
    """Who may not have a page gets none of it; who may gets an answer that is no failure of ours."""
    browser = Browser(app, arena.at, played[who])
    may = MAY.get(who, KNOWN)
    # Logging out ends the session, and so comes last.
    for method, path in sorted(LEVEL, key=lambda pair: (pair == ("POST", "/log-out"), pair)):
        if method == "POST":
            answer = browser.fill(filled(path), follow=False)
        else:
            answer = browser.get(filled(path), follow_redirects=False)
        what = (who, method, path, answer.status_code)
        if LEVEL[method, path] <= may:
            assert answer.status_code not in (401, 500, 503), what
            own = path in OWN and not (who in ("captain", "member") and "submissions" in path)
            if path in OWN and who in ("outsider", "judge") and "{id}" in path:
                assert answer.status_code in (403, 422), what
            elif not own:
                assert answer.status_code != 403, what
        elif who != "stranger":
            assert answer.status_code == 403, what
        elif method == "GET":
            assert answer.status_code == 303 and answer.headers["location"].startswith("/log-in?next="), what
        else:
            assert answer.status_code == 401, what


def test_a_form_from_elsewhere_does_nothing(arena, app, played):
    browser = Browser(app, arena.at, played["organiser"])
    for method, path in LEVEL:
        if method == "POST":
            for token in ({}, {"csrf": "x"}, {"csrf": Browser(app, arena.at, played["captain"]).csrf}):
                answer = browser.post(filled(path), data=token, follow_redirects=False)
                assert answer.status_code == 403, (path, token)


def test_what_a_form_does_needs_the_role_too(arena, app, played):
    """With everything filled in, not only with nothing."""
    tried = {
        "/admin/people/1/role": {"role": "organiser"},
        "/admin/people/1/ban": {"reasons": "because"},
        "/admin/teams/1/disqualify": {"reasons": "because"},
        "/admin/submissions/2/decision": {"ruling": "accepted", "reasons": "because"},
        "/admin/rejudges/1/cancel": {},
        "/admin/people/1/confirm": {},
        "/admin/outbox/sent": {"mail": "1"},
    }
    for who in ("captain", "judge"):
        browser = Browser(app, arena.at, played[who])
        for path, fields in tried.items():
            assert browser.fill(path, follow=False, **fields).status_code == 403, (who, path)
    browser = Browser(app, arena.at, played["organiser"])
    for path, fields in tried.items():
        assert browser.fill(path, follow=False, **fields).status_code == 303, path


def test_pages_are_kept_to_what_is_ours(arena, app, played):
    """No script and no style within a page, in any role: the policy forbids them, and so nothing may need them."""
    seen = defaultdict(int)
    for who in ("stranger", "captain", "organiser"):
        browser = Browser(app, arena.at, played[who])
        for (method, path), level in LEVEL.items():
            if method == "GET" and level <= MAY.get(who, KNOWN):
                answer = browser.get(filled(path))
                policy = answer.headers["content-security-policy"]
                assert "script-src 'self';" in policy and "unsafe" not in policy
                if "text/html" in answer.headers.get("content-type", ""):
                    assert not re.search(
                        r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", answer.text
                    ), path
                    assert "http://testserver" not in answer.text.replace("/team/join", "")
                    seen[who] += 1
    assert seen["organiser"] > 40 and seen["stranger"] > 20


def test_too_much_is_not_read(arena):
    stranger = Browser(site(arena.at), arena.at)
    large = "x" * (2 << 20)
    assert stranger.fill("/log-in", email="a@b.org", password=large).status_code == 413
    assert stranger.fill("/papers/maml/submit", commit=large).status_code == 401
    member = Browser(stranger.app, arena.at, arena.team()[0])
    assert member.fill("/papers/maml/register", repo=large).status_code == 413
    # A bundle may be large, and what comes with it may not.
    files = {"bundle": ("w.bundle", b"# v2 git bundle\n" + b"x" * (2 << 20))}
    page = member.fill("/papers/maml/submit", commit="a" * 40, files=files)
    assert page.status_code == 200 and "was received" in page.text
    assert member.fill("/papers/maml/submit", commit=large, files=files).status_code == 400
