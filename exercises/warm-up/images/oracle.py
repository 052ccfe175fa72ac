"""Answers what the one version of the model says about some rows: stdin `{"rows": [[distance_km, hours_left], ..]}`; stdout, by the
version's name, `{"sha256": "", "files": {}, "scores": [..], "degraded": [..]}`.
"""

from __future__ import annotations

import json
import math
import sys


def main() -> None:
    """Describes the version for the rows on stdin."""
    rows = json.load(sys.stdin)["rows"]
    scores = [1 / (1 + math.exp(1.5 * hours_left / 24 - 0.02 * distance_km)) for distance_km, hours_left in rows]
    json.dump({"1": {"sha256": "", "files": {}, "scores": scores, "degraded": scores}}, sys.stdout)


if __name__ == "__main__":
    main()
