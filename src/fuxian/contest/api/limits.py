"""How often one caller may call."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

MOST_CALLERS = 50_000


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """A token bucket a caller: ``burst`` calls at once, ``rate`` a second after that."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, caller: str) -> float:
        """0 where the call may go on, else the seconds until it may."""
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.pop(caller, None) or _Bucket(float(self.burst), now)
            bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.rate)
            bucket.at = now
            self._buckets[caller] = bucket
            if len(self._buckets) > MOST_CALLERS:
                self._buckets.popitem(last=False)
            if bucket.left >= 1:
                bucket.left -= 1
                return 0.0
            return (1 - bucket.left) / self.rate
