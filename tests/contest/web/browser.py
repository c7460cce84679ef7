"""A browser without JavaScript: keeps cookies, fills in the forms' token, follows redirects."""

import html
import re

from fastapi.testclient import TestClient

from fuxian.contest.service.context import hash_of, new_secret
from fuxian.contest.store.models import Secret
from fuxian.contest.web.app import make_site
from fuxian.contest.web.visit import SESSION, VISIT, token_of


def site(at):
    """The application of a contest, without limits of how often it is called."""
    return make_site(at, rate=1e6, burst=10**6)


class Browser(TestClient):
    def __init__(self, app, at, actor=None, language="en"):
        super().__init__(app, raise_server_exceptions=False, headers={"accept-language": language})
        self.at = at
        self.cookies.set(VISIT, "one browser")
        if actor is not None:
            # As after a log-in, without waiting for argon2.
            secret, hashed = new_secret()
            with at.database.write() as session:
                session.add(
                    Secret(
                        hash=hashed, account_id=actor.account, kind="session", name="", created_at=at.now()
                    )
                )
            self.cookies.set(SESSION, secret)
            assert hash_of(secret) == hashed

    @property
    def csrf(self):
        return token_of(self.at, self.cookies[VISIT], self.cookies.get(SESSION, ""))

    def fill(self, path, files=None, follow=True, **fields):
        """Posts a form as one of our pages would."""
        return self.post(path, data={"csrf": self.csrf, **fields}, files=files, follow_redirects=follow)


def words(answer):
    """What a reader sees of a page."""
    text = re.sub(r"<(script|style|svg|head)\b.*?</\1>", " ", answer.text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
