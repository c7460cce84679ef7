"""The whole site: the API with the pages beside it, and the headers that keep a browser to what is ours."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, DBAPIError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fuxian.contest.api.app import BURST, RATE, STATUS, answer, make_app
from fuxian.contest.api.caller import context
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import Context
from fuxian.contest.service.submissions import LARGEST_BUNDLE
from fuxian.contest.web.visit import Visit, inside, language_of, visit
from fuxian.errors import InputError, PlatformError

LARGEST_FORM = 1 << 20
UPLOADS = ("/submit",)
"""Ends of the paths whose forms may carry a bundle."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
CODES = STATUS | {"forged": 403, "too_large": 413}
logger = logging.getLogger("fuxian.contest.web")


def make_site(at: Context, *, rate: float = RATE, burst: int = BURST) -> FastAPI:
    """The API and the pages of one contest."""
    from fuxian.contest.web import account, admin, judging, public, take_part

    app = make_app(at, rate=rate, burst=burst)
    for part in (public, account, take_part, judging, admin):
        app.include_router(part.router, include_in_schema=False)
    app.mount("/static", _Static(directory=Path(__file__).parent / "static"), name="static")
    app.add_exception_handler(HTTPException, _no_page)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(_Headers, secure=at.address.startswith("https://"))
    return app


class Page(APIRoute):
    """A route whose refusals and failures are pages."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                _require_size(request)
                return await handle(request)
            except Refused as error:
                if error.code == "log_in" and request.method == "GET":
                    return _log_in_first(request)
                return problem(request, CODES.get(error.code, 409), error.zh, error.en)
            except InputError as error:
                status = 404 if "has no paper" in str(error) else 409
                return problem(request, status, str(error), str(error))
            except PlatformError as error:
                logger.error("%s", error)
                return problem(request, 503, str(error), str(error))
            except (RequestValidationError, DataError):
                zh, en = (
                    "填写内容有误，请返回修改。",
                    "something in the form cannot be used; go back and mend it.",
                )
                return problem(request, 422, zh, en)
            except DBAPIError as error:
                logger.error("database: %s", str(error).splitlines()[0][:300])
                return problem(
                    request, 503, "数据库暂无响应，请重试。", "the database does not answer; try again."
                )

        return page


def problem(request: Request, status: int, zh: str, en: str) -> Response:
    """A page that says what was wrong, and leads back."""
    try:
        one = visit(request)
    except DBAPIError:
        one = Visit(request, context(request), None, None, language_of(request))
    referer = request.headers.get("referer", "")
    here = f"{request.url.scheme}://{request.url.netloc}"
    back = inside(referer.removeprefix(here)) if referer.startswith(here) else "/"
    return one.page("problem.html", status=status, text=one.t(zh, en[:1].upper() + en[1:]), back=back)


def _log_in_first(request: Request) -> Response:
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    one = Visit(request, context(request), None, None, language_of(request))
    return one.go(f"/log-in?{urlencode({'next': where})}")


def _require_size(request: Request) -> None:
    """Forms are small; only a bundle may be large."""
    if request.method != "POST":
        return
    most = LARGEST_BUNDLE + LARGEST_FORM if request.url.path.endswith(UPLOADS) else LARGEST_FORM
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > most:
        raise Refused("too_large", en="this is too large; send less.", zh="内容过大，请精简。")


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if request.url.path.startswith("/api/"):
        code = {404: "missing", 405: "method"}.get(error.status_code, "http")
        return answer(error.status_code, code, str(error.detail), "没有这样的地址或方法。")
    if request.url.path.startswith("/static/"):
        return PlainTextResponse("not found\n", status_code=404)
    if error.status_code == 405:
        return problem(request, 405, "此地址不支持该操作。", "this address does not do that.")
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
