"""What every page's route has in common: refusals as pages, forms that came from our own pages."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from fuxian.contest.web.app import Page
from fuxian.contest.web.visit import ours


def router(prefix: str = "") -> APIRouter:
    return APIRouter(
        prefix=prefix, route_class=Page, dependencies=[Depends(ours)], default_response_class=HTMLResponse
    )
