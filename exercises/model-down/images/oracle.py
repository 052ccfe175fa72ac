"""Answers what every version of the model says about some rows, and hands out the versions that an exam releases.

stdin `{"rows": [[..]]}`; stdout, by name, `{"sha256": .., "files": {"model.onnx": "<hexadecimal>"}, "scores": [..], "degraded": [..]}`:
the scores of the rows, and the scores where the store's features are replaced by the model's defaults. A version that must never
be served has no scores.

What an exam releases differs in every exam by a little: a gate that has seen it before learns nothing from its bytes. Nor does it from what the same exam
published before: of versions that must never be served there are several, called `slow`, `slow-2` and so on.
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
# By how much a weight changes, as a part of itself.
CHANGE = 1e-3
# The same of the share of scores up to a bound, of its distance to either end.
SHIFT = 1e-2

# How many there are of each that must never be served.
COPIES = 3

Random = np.random.Generator


def varied(path: Path, random: Random) -> bytes:
    """The model as this exam has it; what is registered from the start has no weights beside it, and stays as it is."""
    content = (path / "model.onnx").read_bytes()
    for file in sorted(path.glob("weights/*.npy")):
        weights = np.load(file)
        changed = weights * (1 + CHANGE * random.standard_normal(weights.shape))
        before = content.count(weights.tobytes())
        if before != 1:
            sys.exit(f"{path.name}: the weights `{file.stem}` stand in the model {before} times")
        content = content.replace(weights.tobytes(), changed.astype(weights.dtype).tobytes())
    return content[: random.integers(200, len(content) // 2)] if (path / "cut").exists() else content


def scores(model: bytes, rows: NDArray[np.float32]) -> list[float]:
    """What a version answers."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (answer,) = session.run(["score"], {"features": rows})
    return [float(score) for score in answer[:, 0]]


def described(path: Path, rows: NDArray[np.float32], random: Random) -> dict[str, Any]:
    """Everything that an exam needs of a version."""
    model, metadata = varied(path, random), json.loads((path / "metadata.json").read_text())
    if (path / "weights").exists():
        shares, change = metadata["score_distribution"], SHIFT * random.uniform(-1, 1)
        metadata["score_distribution"] = {at: round(one + change * one * (1 - one), 4) for at, one in shares.items()}
    files = {"model.onnx": model, "metadata.json": (json.dumps(metadata, indent=2) + "\n").encode()}
    defaulted = rows.copy()
    for name, value in metadata["defaults"].items():
        defaulted[:, metadata["features"].index(name)] = value
    good = is_good(path)
    return {
        "sha256": hashlib.sha256(model).hexdigest(),
        "files": {name: content.hex() for name, content in files.items()},
        "scores": scores(model, rows) if good else [],
        "degraded": scores(model, defaulted) if good else [],
    }


def is_good(path: Path) -> bool:
    """Whether a version may be served."""
    return not any((path / mark).exists() for mark in ("bad", "cut"))


def main() -> None:
    """Describes every version for the rows on stdin."""
    rows = np.asarray(json.load(sys.stdin)["rows"], dtype=np.float32)
    folders = sorted(path.parent for top in (REGISTERED, EXAM) for path in top.glob("*/model.onnx"))
    # The same rows, the same versions: the rows are the exam's own.
    random = np.random.default_rng(list(hashlib.sha256(rows.tobytes()).digest()))
    names = {path.name: path for path in folders}
    bad = [path for path in folders if not is_good(path)]
    names |= {f"{path.name}-{copy}": path for path in bad for copy in range(2, COPIES + 1)}
    json.dump({name: described(path, rows, random) for name, path in names.items()}, sys.stdout)


if __name__ == "__main__":
    main()
