"""What every page's route has in common: refusals as pages, forms that came from our own pages and are small."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, DBAPIError

from fuxian.contest.api.app import STATUS
from fuxian.contest.api.caller import context
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.submissions import LARGEST_BUNDLE
from fuxian.contest.web.visit import Visit, inside, language_of, ours, visit
from fuxian.errors import InputError, PlatformError

LARGEST_FORM = 1 << 20
UPLOADS = ("/submit",)
"""Ends of the paths whose forms may carry a bundle."""
CODES = STATUS | {"forged": 403, "too_large": 413}
logger = logging.getLogger("fuxian.contest.web")


def router(prefix: str = "") -> APIRouter:
    return APIRouter(
        prefix=prefix, route_class=Page, dependencies=[Depends(ours)], default_response_class=HTMLResponse
    )


class Page(APIRoute):
    """A route whose refusals and failures are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                _require_size(request)
                return await handle(request)
            except Refused as error:
                if error.code == "log_in" and request.method == "GET":
                    return _log_in_first(request)
                return problem(request, CODES.get(error.code, 409), error.zh, error.en, error.moment)
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


def problem(request: Request, status: int, zh: str, en: str, moment: datetime | None = None) -> Response:
    """A page that says what was wrong, and leads back; a ``moment`` is shown in the reader's time too."""
    try:
        one = visit(request)
    except DBAPIError:
        one = Visit(request, context(request), None, None, language_of(request))
    referer = request.headers.get("referer", "")
    here = f"{request.url.scheme}://{request.url.netloc}"
    back = inside(referer.removeprefix(here)) if referer.startswith(here) else "/"
    return one.page(
        "problem.html", status=status, text=one.t(zh, en[:1].upper() + en[1:]), back=back, moment=moment
    )


def _log_in_first(request: Request) -> Response:
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    one = Visit(request, context(request), None, None, language_of(request))
    return one.go(f"/log-in?{urlencode({'next': where})}")


def _require_size(request: Request) -> None:
    """Forms are small; only a bundle may be large, of somebody who is logged in. Asked before anything is read."""
    if request.method != "POST":
        return
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else None
    if size is not None and size <= LARGEST_FORM:
        return
    most = LARGEST_FORM
    if request.url.path.endswith(UPLOADS) and context(request).contest.sources.uploads:
        if visit(request).actor is None:
            raise Refused("log_in", en="log in first.", zh="请先登录。")
        most += LARGEST_BUNDLE
    if size is None or size > most:
        raise Refused("too_large", en="this is too large; send less.", zh="内容过大，请精简。")
