"""How far the latest scores are from those of training, as one number."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

SIZE = 200
ENOUGH = 100


class Recent:
    """The latest scores of a version, and their population stability index against training's distribution."""

    def __init__(self, expected: dict[str, float]) -> None:
        bounds = sorted(expected, key=float)
        self._bounds = [float(bound) for bound in bounds]
        shares = [expected[bound] for bound in bounds]
        self._expected = [share - before for share, before in zip(shares, [0.0, *shares[:-1]], strict=True)]
        self._places: deque[int] = deque()
        self._counts = [0] * len(bounds)

    def add(self, score: float) -> float:
        """Adds a score; the index, or 0 while there are few."""
        place = min(bisect_left(self._bounds, score), len(self._bounds) - 1)
        self._places.append(place)
        self._counts[place] += 1
        if len(self._places) > SIZE:
            self._counts[self._places.popleft()] -= 1
        total = len(self._places)
        if total < ENOUGH:
            return 0.0
        # Half a score more in every bucket, so that none is empty.
        parts = total + 0.5 * len(self._counts)
        index = 0.0
        for count, expected in zip(self._counts, self._expected, strict=True):
            here, there = (count + 0.5) / parts, (expected * total + 0.5) / parts
            index += (here - there) * math.log(here / there)
        return index
