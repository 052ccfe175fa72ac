"""Answers what every version of the model says about some rows, and hands out the versions that an exam releases.

stdin `{"rows": [[..]]}`; stdout, by name, `{"sha256": .., "files": {"model.onnx": "<hexadecimal>"}, "scores": [..], "degraded": [..]}`:
the scores of the rows, and the scores where the store's features are replaced by the model's defaults. A version that must never
be served has no scores.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

REGISTERED = Path("/models/registry/fraud")
EXAM = Path("/models/exam")


def scores(path: Path, rows: NDArray[np.float32]) -> list[float]:
    """What a version answers."""
    session = onnxruntime.InferenceSession(str(path / "model.onnx"), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["score"], {"features": rows})
    return [float(score) for score in answer[:, 0]]


def described(path: Path, rows: NDArray[np.float32]) -> dict[str, Any]:
    """Everything that an exam needs of a version."""
    files = {name: (path / name).read_bytes() for name in ("model.onnx", "metadata.json")}
    metadata = json.loads(files["metadata.json"])
    defaulted = rows.copy()
    for name, value in metadata["defaults"].items():
        defaulted[:, metadata["features"].index(name)] = value
    good = not (path / "bad").exists()
    return {
        "sha256": hashlib.sha256(files["model.onnx"]).hexdigest(),
        "files": {name: content.hex() for name, content in files.items()},
        "scores": scores(path, rows) if good else [],
        "degraded": scores(path, defaulted) if good else [],
    }


def main() -> None:
    """Describes every version for the rows on stdin."""
    rows = np.asarray(json.load(sys.stdin)["rows"], dtype=np.float32)
    folders = sorted(path.parent for top in (REGISTERED, EXAM) for path in top.glob("*/model.onnx"))
    json.dump({path.name: described(path, rows) for path in folders}, sys.stdout)


if __name__ == "__main__":
    main()
