"""The application: routes, errors, limits, health, metrics."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from sqlalchemy import func, select, text
from sqlalchemy.exc import DataError, DBAPIError

import fuxian
from fuxian.contest.api import organiser, public, team
from fuxian.contest.api.limits import RateLimit
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import Context
from fuxian.contest.store.models import Job, Submission
from fuxian.errors import InputError, PlatformError

STATUS = {"log_in": 401, "wrong_login": 401, "denied": 403, "banned": 403, "unconfirmed": 403, "missing": 404}
"""HTTP's status by the code of a refusal; any other is 409."""
RATE, BURST = 20.0, 200
logger = logging.getLogger("fuxian.contest.api")


def make_app(at: Context, *, rate: float = RATE, burst: int = BURST) -> FastAPI:
    """The API of one contest."""
    app = FastAPI(
        title="Fuxian contest",
        version=fuxian.__version__,
        description="Registration, submissions, rulings and the board of one challenge.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.at = at
    for part in (public, team, organiser):
        app.include_router(part.router, prefix="/api/v1")
    _errors(app)
    _watch(app, at, RateLimit(rate, burst))
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)  # noqa: S101
        return answer(STATUS.get(error.code, 409), error.code, error.en, error.zh, error.moment)

    @app.exception_handler(InputError)
    def wrong(request: Request, error: Exception) -> JSONResponse:
        return answer(404 if "has no paper" in str(error) else 409, "input", str(error), str(error))

    @app.exception_handler(PlatformError)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return answer(503, "platform", str(error), str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(422, "malformed", f"{where}: {first['msg']}.", f"{where}：格式有误。")

    @app.exception_handler(DataError)
    def unstorable(request: Request, error: Exception) -> JSONResponse:
        # PostgreSQL keeps no NUL in a text.
        return answer(422, "malformed", "a value cannot be stored; mend it.", "有无法保存的值，请修改。")

    @app.exception_handler(DBAPIError)
    def database(request: Request, error: Exception) -> JSONResponse:
        logger.error("database: %s", str(error).splitlines()[0][:300])
        return answer(503, "database", "the database does not answer; try again.", "数据库暂无响应，请重试。")


def answer(status: int, code: str, en: str, zh: str, moment: datetime | None = None) -> JSONResponse:
    """A refusal as the API says it; ``moment`` is when what is closed opened or closed."""
    said = {"code": code, "en": en, "zh": zh} | ({"moment": moment.isoformat()} if moment else {})
    return JSONResponse({"error": said}, status_code=status)


def _watch(app: FastAPI, at: Context, limit: RateLimit) -> None:
    registry = CollectorRegistry()
    calls = Counter("fuxian_requests", "Calls", ["route", "status"], registry=registry)
    took = Histogram("fuxian_request_seconds", "Seconds a call took", ["route"], registry=registry)
    jobs = Gauge("fuxian_jobs", "Jobs", ["kind", "state"], registry=registry)
    waits = Gauge(
        "fuxian_oldest_undecided_seconds", "Age of the oldest undecided submission", registry=registry
    )

    @app.middleware("http")
    async def every_call(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        began, name = time.monotonic(), secrets.token_hex(8)
        caller = request.client.host if request.client else "unknown"
        limited = request.url.path.startswith("/api/") or request.method == "POST"
        if limited and (wait := limit.wait(caller)) > 0:
            response: Response = answer(429, "too_often", "too many calls; wait.", "请求过于频繁，请稍候。")
            response.headers["Retry-After"] = str(int(wait) + 1)
        else:
            response = await go_on(request)
        route = getattr(request.scope.get("route"), "path", "other")
        seconds = time.monotonic() - began
        calls.labels(route, response.status_code).inc()
        took.labels(route).observe(seconds)
        response.headers["X-Request-ID"] = name
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        logger.info(
            "request=%s %s %s status=%d ms=%.1f",
            name,
            request.method,
            route,
            response.status_code,
            1000 * seconds,
        )
        return response

    @app.get("/health", include_in_schema=False)
    def health() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/ready", include_in_schema=False)
    def ready() -> PlainTextResponse:
        try:
            with at.database.read() as session:
                session.execute(text("SELECT 1"))
        except DBAPIError:
            return PlainTextResponse("the database does not answer\n", status_code=503)
        return PlainTextResponse("ok\n")

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        with at.database.read() as session:
            rows = session.execute(
                select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
            ).all()
            oldest = session.scalar(
                select(func.min(Submission.received_at)).where(
                    Submission.status.in_(("queued", "review", "provisional"))
                )
            )
        jobs.clear()
        for kind, state, count in rows:
            jobs.labels(kind, state).set(count)
        waits.set(0 if oldest is None else (at.now() - oldest).total_seconds())
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
