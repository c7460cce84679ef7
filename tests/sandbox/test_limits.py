import math

import pytest

from fuxian.errors import InputError
from fuxian.sandbox.limits import MIB, Limits, process_limits


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_limits_are_above_zero(value: float) -> None:
    with pytest.raises(InputError, match="`wall`"):
        Limits(wall=value)


def test_process_limits_hold_only_what_no_cgroup_holds() -> None:
    limits = Limits(memory=64 * MIB, pids=10, cpu_time=2.5)
    with_groups = process_limits(limits, memory=False, pids=False)
    without = process_limits(limits, memory=True, pids=True)
    assert "--core=0" in with_groups and "--cpu=4" in with_groups
    assert not any(one.startswith(("--data", "--nproc")) for one in with_groups)
    assert {f"--data={64 * MIB}", "--nproc=11"} <= set(without)
