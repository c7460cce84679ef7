"""The whole site: the API with the pages beside it, and the headers that keep a browser to what is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fuxian.contest.api.app import BURST, RATE, answer, make_app
from fuxian.contest.service.context import Context
from fuxian.contest.web import account, admin, judging, public, take_part
from fuxian.contest.web.routes import problem

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def make_site(at: Context, *, rate: float = RATE, burst: int = BURST) -> FastAPI:
    """The API and the pages of one contest."""
    app = make_app(at, rate=rate, burst=burst)
    for part in (public, account, take_part, judging, admin):
        app.include_router(part.router, include_in_schema=False)
    app.mount("/static", _Static(directory=Path(__file__).parent / "static"), name="static")
    app.add_exception_handler(HTTPException, _no_page)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(_Headers, secure=at.address.startswith("https://"))
    return app


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if request.url.path.startswith("/api/"):
        code = {404: "missing", 405: "method"}.get(error.status_code, "http")
        return answer(error.status_code, code, str(error.detail), "没有这样的地址或方法。")
    if request.url.path.startswith("/static/"):
        return PlainTextResponse("not found\n", status_code=404)
    if error.status_code == 405:
        return problem(request, 405, "此地址不支持该操作。", "this address does not do that.")
    if error.status_code != 404:
        zh, en = "请求有误，请返回修改。", "this request cannot be used; go back and mend it."
        return problem(request, error.status_code, zh, en)
    return problem(request, 404, "没有这个页面。", "there is no such page.")


async def _broken(request: Request, error: Exception) -> Response:
    """A failure of ours. The log has the traceback; nobody else sees it."""
    if request.url.path.startswith("/api/"):
        return answer(500, "platform", "the server failed.", "服务器出错。")
    return PlainTextResponse("服务器出错。 / The server failed.\n", status_code=500)


class _Static(StaticFiles):
    """Files whose address changes with their content."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


class _Headers:
    """Puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self.app = app
        headers = {**HEADERS, **({"Strict-Transport-Security": "max-age=31536000"} if secure else {})}
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.names = {name for name, _ in self.headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in self.names]
                message = {**message, "headers": [*kept, *self.headers]}
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
