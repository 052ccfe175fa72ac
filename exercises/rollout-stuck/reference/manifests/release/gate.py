"""Judges a version of the fraud model on golden data before any user meets it; a Job of the cluster's runs it.

    gate.py VERSION

Exit codes: 0 it may be released; 1 it may not, and what it says last is why; 2 wrong usage.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import onnxruntime

NAME = "fraud"
REGISTRY_URL = os.environ.get("REGISTRY_URL", "http://registry.platform:8080")
GOLDEN = Path(os.environ.get("GOLDEN", "/release/golden.csv"))
# The order in which the model was trained.
FEATURES = ("amount", "hour", "distance_km", "dispute_rate", "account_age_days")

# What a version must reach on golden data.
MIN_AUC = 0.80
MAX_P95_S = 0.100
WARM_UP = 2
TIMED = 40

Row = dict[str, float]
Score = Callable[[Row], float]


class Refused(Exception):  # noqa: N818  # a refusal is an answer, not a defect
    """A version that may not be released."""


def artifact(version: str) -> bytes:
    """A version's model, if it is what was registered."""
    with httpx.Client(base_url=f"{REGISTRY_URL}/api/2.0", timeout=5.0) as registry:
        found = registry.get("/mlflow/model-versions/get", params={"name": NAME, "version": version})
        if found.status_code == httpx.codes.NOT_FOUND:
            raise Refused(f"the registry has no version {version}")
        tags = {tag["key"]: tag["value"] for tag in found.raise_for_status().json()["model_version"]["tags"]}
        model = registry.get(f"/mlflow-artifacts/artifacts/{NAME}/{version}/model.onnx").raise_for_status().content
    digest = hashlib.sha256(model).hexdigest()
    if digest != tags.get("sha256"):
        raise Refused(f"version {version} has the digest {digest}, registered is {tags.get('sha256')}")
    return model


def loaded(version: str, model: bytes) -> Score:
    """What a version answers to a row, on one thread, as a replica does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # The runtime's errors have no common class of their own.
    except Exception as error:
        raise Refused(f"version {version} cannot be loaded: {error}") from error

    def score(row: Row) -> float:
        values = np.asarray([[row[name] for name in FEATURES]], dtype=np.float32)
        (scores,) = session.run(["score"], {"features": values})
        return float(scores[0, 0])

    return score


def golden() -> list[tuple[Row, bool]]:
    """Labelled transactions: features, and whether it was fraud."""
    with GOLDEN.open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [(row, bool(row.pop("fraud"))) for row in rows]


def auc(scores: list[float], labels: list[bool]) -> float:
    """The area under the ROC curve: how often fraud scores higher than what is none."""
    fraud = np.asarray([score for score, label in zip(scores, labels, strict=True) if label])
    fine = np.asarray([score for score, label in zip(scores, labels, strict=True) if not label])
    higher = np.mean(fraud[:, None] > fine[None, :])
    equal = np.mean(fraud[:, None] == fine[None, :])
    return float(higher + equal / 2)


def judge(version: str, score: Score) -> float:
    """The AUC of a version, which is refused where it is slow or wrong on golden data."""
    rows = golden()
    for row, _ in rows[:WARM_UP]:
        score(row)
    # No need to wait for the rest of a version that cannot make it any more.
    allowed = math.floor(TIMED * 0.05)
    slow = 0
    for row, _ in rows[:TIMED]:
        began = time.perf_counter()
        score(row)
        slow += time.perf_counter() - began > MAX_P95_S
        if slow > allowed:
            raise Refused(f"version {version} is too slow: its p95 is above {MAX_P95_S * 1000:.0f} ms")
    reached = auc([score(row) for row, _ in rows], [label for _, label in rows])
    if not reached >= MIN_AUC:
        raise Refused(f"version {version} is wrong too often: its AUC is {reached:.3f}, {MIN_AUC} is the least")
    return reached


def main(arguments: list[str]) -> int:
    """Judges the version that is named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: gate.py VERSION\n")
        return 2
    (version,) = arguments
    try:
        reached = judge(version, loaded(version, artifact(version)))
    except (Refused, httpx.HTTPError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"version {version} passes the gate: AUC {reached:.3f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
