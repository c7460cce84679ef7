"""The API: the whole way, and who may do what."""

import json
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from fuxian.contest import audit as audits
from fuxian.contest.api.app import make_app
from fuxian.contest.service import accounts
from fuxian.contest.service.context import Role
from fuxian.contest.store.models import Event, Mail, Winner

BUNDLE = b"# v2 git bundle\n1"


@pytest.fixture
def client(arena):
    with TestClient(make_app(arena.at, rate=1e6, burst=10**6), raise_server_exceptions=False) as client:
        yield client


def bearer(arena, actor):
    return {"Authorization": f"Bearer {accounts.new_token(arena.at, actor, 'test')}"}


def test_from_account_to_winner(arena, client):
    made = client.post(
        "/api/v1/accounts",
        json={"email": "A@example.org", "name": "Ada", "password": "long enough", "language": "en"},
    )
    assert made.status_code == 201
    login = {"email": "a@example.org", "password": "long enough"}
    token = client.post("/api/v1/tokens", json=login).json()
    assert token["error"]["code"] == "unconfirmed"
    other = {"email": "b@example.org", "name": "Bob", "password": "long enough"}
    id = client.post("/api/v1/accounts", json=other).json()["account"]
    boss = bearer(arena, arena.person(Role.organiser))
    assert client.post(f"/api/v1/admin/accounts/{id}/confirm", headers=boss).status_code == 200
    assert client.post("/api/v1/tokens", json=login | {"email": "b@example.org"}).status_code == 201
    with arena.database.read() as session:
        secret = session.query(Mail).order_by(Mail.id).first().text.partition("secret=")[2].strip()
    assert client.post("/api/v1/accounts/confirm", json={"secret": secret}).status_code == 200
    assert client.post("/api/v1/accounts/confirm", json={"secret": secret}).json()["error"]["code"] == "link"
    token = client.post("/api/v1/tokens", json=login).json()["token"]
    me = {"Authorization": f"Bearer {token}"}
    assert client.post("/api/v1/teams", json={"name": "Few Shots"}, headers=me).status_code == 201
    made = client.post("/api/v1/registrations", json={"paper": "1"}, headers=me).json()
    assert made["paper"] == "maml" and made["seed"] is None
    receipt = client.post(
        f"/api/v1/submissions/bundle?paper=maml&commit={'a' * 40}", content=BUNDLE, headers=me
    ).json()
    assert receipt["number"] == 1
    id = receipt["submission"]
    seen = client.get(f"/api/v1/submissions/{id}", headers=me).json()
    assert seen["mine"]["queue_place"] == 0
    arena.rule("accepted")
    seen = client.get(f"/api/v1/submissions/{id}").json()
    assert seen["status"] == "won" and "mine" not in seen
    board = client.get("/api/v1/board").json()["papers"][0]
    assert board["winner"]["name"] == "Few Shots"
    assert client.get("/api/v1/audit").json()["winners"] == {"maml": 1}
    assert "fuxian_jobs" in client.get("/metrics").text
    assert client.get("/health").text == client.get("/ready").text == "ok\n"


def test_a_seed_is_issued_where_the_training_must_begin_from_it(arena):
    papers = [arena.at.contest.paper[0].model_copy(update={"issued_seed": True}), *arena.at.contest.paper[1:]]
    at = replace(arena.at, contest=arena.at.contest.model_copy(update={"paper": papers}))
    captain = arena.team()[0]
    with TestClient(make_app(at)) as client:
        me = bearer(arena, captain)
        made = client.post("/api/v1/registrations", json={"paper": papers[0].id}, headers=me).json()
        shown = client.get("/api/v1/me", headers=me).json()["team"]["papers"][0]
    assert made["seed"] == shown["seed"] >= 0


def test_no_figure_is_shown_before_the_ruling_is_final(arena, client):
    a = arena.team()[0]
    b = arena.team()[0]
    arena.submit(a)
    id = arena.submit(b)["submission"]
    arena.claim()
    arena.rule("accepted")
    seen = client.get(f"/api/v1/submissions/{id}", headers=bearer(arena, b)).json()
    assert seen["status"] == "provisional"
    assert seen["mine"]["report"] is None and seen["mine"]["detail"] is None


def test_a_void_submission_says_why(arena, client):
    a, b = arena.team()[0], arena.team()[0]
    arena.submit(a)
    id = arena.submit(b)["submission"]
    arena.rule("accepted")
    seen = client.get(f"/api/v1/submissions/{id}").json()
    assert seen["status"] == "void"
    assert seen["status_said"]["en"] == "Submission #2 is void: another team reached the accuracy first"
    assert "已有队伍达到精度" in seen["status_said"]["zh"]


def test_another_team_sees_no_reasons(arena, client):
    a, b = arena.team()[0], arena.team()[0]
    id = arena.submit(a)["submission"]
    arena.rule("rejected")
    assert "mine" in client.get(f"/api/v1/submissions/{id}", headers=bearer(arena, a)).json()
    assert "mine" not in client.get(f"/api/v1/submissions/{id}", headers=bearer(arena, b)).json()
    assert client.get(f"/api/v1/submissions/{id}/receipt", headers=bearer(arena, b)).status_code == 403


def routes(client):
    """Every operation of the OpenAPI document."""
    document = client.get("/api/v1/openapi.json").json()
    return [(method.upper(), path) for path, ways in document["paths"].items() for method in ways]


PUBLIC = {
    ("POST", "/api/v1/accounts"),
    ("POST", "/api/v1/accounts/confirm"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/password/ask"),
    ("POST", "/api/v1/password/reset"),
}


@pytest.mark.parametrize("who", ["stranger", "forged", "entrant", "member", "captain", "judge"])
def test_every_route_and_role(arena, client, who):
    """No organiser's route answers anybody else, and nothing that changes anything answers a stranger."""
    captain, member = arena.team(size=2)
    people = {
        "entrant": arena.person,
        "member": lambda: member,
        "captain": lambda: captain,
        "judge": lambda: arena.person(Role.judge),
    }
    headers = {"forged": {"Authorization": "Bearer forged"}, "stranger": {}}.get(who) or (
        bearer(arena, people[who]()) if who in people else {}
    )
    tried = 0
    for method, path in routes(client):
        filled = path
        for name in ("id", "account", "offer"):
            filled = filled.replace(f"{{{name}}}", "1")
        filled = filled.replace("{paper}", "maml").replace("{", "").replace("}", "")
        admin = "/admin/" in path
        if who in ("stranger", "forged"):
            if (method == "GET" and not admin) or (method, path) in PUBLIC:
                continue
            expected = {401}
        elif admin:
            expected = {403, 422}
        else:
            continue
        body = BODIES.get(path.removeprefix("/api/v1/admin"))
        answer = client.request(method, filled, headers=headers, json=body)
        assert answer.status_code in expected, (method, path, answer.status_code, answer.text)
        assert not (admin and who not in ("stranger", "forged")) or answer.status_code == 403, (method, path)
        tried += 1
    assert tried > 20


REASONS = {"reasons": "because"}
BODIES = {
    "/submissions/{id}/decision": {**REASONS, "ruling": "accepted"},
    "/rejudges": {**REASONS, "submissions": [1]},
    "/disputes/{id}": {**REASONS, "holds": True},
    "/teams/{id}/disqualify": REASONS,
    "/teams/{id}/reinstate": REASONS,
    "/teams/{id}/grants": {"hours": 1, "note": "x"},
    "/accounts/{id}/role": {"role": "organiser"},
    "/accounts/{id}/affiliation": {"affiliation": "none"},
    "/accounts/{id}/false-identity": {"found": True},
    "/accounts/{id}/ban": REASONS,
    "/accounts/{id}/unban": REASONS,
    "/duplicates/{id}": {**REASONS, "duplicates": True},
    "/announcements": {"zh": {"title": "x", "text": "y"}, "en": {"title": "x", "text": "y"}},
    "/questions/{id}": {"text": "x"},
    "/outbox/sent": {"mails": [1]},
    "/deliverables/{paper}/{deliverable}": {"good": True},
    "/prizes/{paper}/{what}": {"state": "paid"},
}


def test_mails_that_were_sent_by_hand(arena, client):
    arena.submit(arena.team()[0])
    boss = bearer(arena, arena.person(Role.organiser))
    waiting = [one["id"] for one in client.get("/api/v1/admin/outbox", headers=boss).json()]
    assert waiting
    sent = {"mails": [*waiting, waiting[0]]}
    answer = client.post("/api/v1/admin/outbox/sent", json=sent, headers=boss)
    assert answer.json() == {"marked": len(waiting)}
    assert client.get("/api/v1/admin/outbox", headers=boss).json() == []
    assert client.post("/api/v1/admin/outbox/sent", json=sent, headers=boss).json() == {"marked": 0}
    assert client.post("/api/v1/admin/outbox/sent", json={"mails": [10**6]}, headers=boss).status_code == 404
    with arena.database.read() as session:
        events = session.query(Event).filter(Event.kind == "mail.sent_by_hand").all()
        assert [json.loads(one.public) for one in events] == [{"mail": id} for id in sorted(waiting)]
        assert "@" in events[0].private


def test_an_audit_is_made_once_for_a_head_of_the_log(arena, client, monkeypatch):
    made = []
    audit = audits.audit_database
    monkeypatch.setattr(audits, "audit_database", lambda *given: made.append(1) or audit(*given))
    monkeypatch.setattr(audits, "SHARE", 0.0)

    def ask():
        found = client.get("/api/v1/audit").json()
        return found["agrees"], found["events"], len(made)

    arena.submit(arena.team()[0])
    agrees, before, _ = ask()
    assert (agrees, before, 1) == ask()
    arena.rule("accepted")
    agrees, events, times = ask()
    assert agrees and events > before and times == 2
    # The head is the same; what the tables say of the winner is not.
    with arena.database.write() as session:
        session.delete(session.get(Winner, "maml"))
    assert ask() == (False, events, 3) == ask()
    monkeypatch.setattr(audits, "KEPT_SECONDS", 0.0)
    assert ask() == (False, events, 4)
    # However often the log changes, an audit takes no more than its share.
    monkeypatch.setattr(audits, "SHARE", 1e6)
    arena.submit(arena.team()[0])
    assert ask() == (False, events, 4)


def test_calls_are_limited(arena):
    with TestClient(make_app(arena.at, rate=0.001, burst=2)) as client:
        codes = [client.get("/api/v1/contest").status_code for _ in range(3)]
        assert codes == [200, 200, 429]


def test_lists_have_pages(arena, client):
    for _ in range(5):
        arena.submit(arena.team()[0])
    seen, after = [], 0
    while after is not None:
        part = client.get(f"/api/v1/submissions?order=oldest&limit=2&after={after}").json()
        seen += [one["number"] for one in part["items"]]
        after = part["next"]
    assert seen == [1, 2, 3, 4, 5]
    log = client.get("/api/v1/log?limit=3").json()
    assert len(log["items"]) == 3 and log["next"] == 3


def test_a_member_is_not_a_captain(arena, client):
    _, member = arena.team(size=2)
    answer = client.delete("/api/v1/team", headers=bearer(arena, member))
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "not_captain"
    assert "队长" in answer.json()["error"]["zh"]


def test_what_a_database_cannot_keep_is_no_failure_of_the_server(client):
    assert client.get("/api/v1/teams?search=%00").status_code in (200, 422)
    assert client.post("/api/v1/password/ask", json={"email": "\0"}).status_code in (202, 422)
