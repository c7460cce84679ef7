"""The API keeps to its own description, whatever it is sent."""

import schemathesis
from arena import Arena
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from fuxian.contest.api.app import make_app
from fuxian.contest.api.caller import caller
from fuxian.contest.service.context import Role

CHECKS = [not_a_server_error, response_schema_conformance]


def test_no_input_breaks_it(url, tmp_path):
    arena = Arena(url, tmp_path / "contest")
    arena.submit(arena.team()[0])
    app = make_app(arena.at, rate=1e9, burst=10**9)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    # Some calls end tokens: who calls is given from outside.
    organiser = arena.person(Role.organiser)
    app.dependency_overrides[caller] = lambda: organiser
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def calls(case):
            case.call_and_validate(checks=CHECKS)

        calls()
        tried += 1
    assert tried > 50
    arena.database.close()
