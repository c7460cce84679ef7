import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import launch


def test_a_fresh_user_for_each_run() -> None:
    users = {launch.unprivileged_id("0 0 4294967295\n") for _ in range(20)}
    assert len(users) == 20
    assert min(users) >= 0x70000000


def test_nobody_where_ids_are_few() -> None:
    assert launch.unprivileged_id("0 100000 65536\n") == 65534


def test_no_other_user_to_become() -> None:
    with pytest.raises(PlatformError, match="cannot give up root"):
        launch.unprivileged_id("0 1000 1\n")


def test_missing_program() -> None:
    with pytest.raises(PlatformError, match="`no-such-program`"):
        launch.tool("no-such-program")
