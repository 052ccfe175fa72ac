"""Answers what each version of the model says about some rows: stdin `{"rows": [[..]]}`, stdout `{"scores": {"3": [..]}}`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Scores the rows on stdin with every version under /models."""
    rows = np.asarray(json.load(sys.stdin)["rows"], dtype=np.float32)
    scores: dict[str, list[float]] = {}
    for path in sorted(Path("/models").glob("*/model.onnx")):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (answer,) = session.run(["score"], {"features": rows})
        scores[path.parent.name] = [float(score) for score in answer[:, 0]]
    json.dump({"scores": scores}, sys.stdout)


if __name__ == "__main__":
    main()
