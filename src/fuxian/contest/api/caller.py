"""Who calls: by the token in the Authorization header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import accounts
from fuxian.contest.service.context import Actor, Context


def context(request: Request) -> Context:
    at = request.app.state.at
    assert isinstance(at, Context)  # noqa: S101
    return at


At = Annotated[Context, Depends(context)]


def caller(at: At, authorization: Annotated[str | None, Header()] = None) -> Actor | None:
    """None for a stranger; a token that nobody holds is refused rather than taken for one."""
    if authorization is None:
        return None
    kind, _, secret = authorization.partition(" ")
    actor = accounts.recognise(at, secret.strip(), "token") if kind.lower() == "bearer" else None
    if actor is None:
        raise Refused(
            "log_in",
            en="this token is not known or has ended; make another.",
            zh="令牌无效或已失效，请重新创建。",
        )
    return actor


def known(actor: Annotated[Actor | None, Depends(caller)]) -> Actor:
    """Raises Refused for a stranger."""
    if actor is None:
        raise Refused("log_in", en="log in first.", zh="请先登录。")
    return actor


Anybody = Annotated[Actor | None, Depends(caller)]
Known = Annotated[Actor, Depends(known)]
