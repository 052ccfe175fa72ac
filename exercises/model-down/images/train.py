"""Trains the fraud models and writes them as ONNX files: the same seed gives the same models.

Each version is a small network that reads one row of features and answers the probability of fraud. Scaling is part of the
file, so that whoever serves it passes features as they come.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES = ("amount", "hour", "distance_km", "merchant_risk", "account_age_days")
HIDDEN = 8
# What the model server's onnxruntime still reads.
IR_VERSION = 8
OPSET = 17

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Release:
    """How one version was trained."""

    version: str
    seed: int
    steps: int
    rows: int


RELEASES = (
    Release(version="2", seed=2, steps=150, rows=2_000),
    Release(version="3", seed=3, steps=600, rows=8_000),
)


def draw(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Transactions and whether each was fraud."""
    amount = rng.lognormal(3.5, 1.0, rows)
    hour = rng.uniform(0, 24, rows)
    distance = rng.lognormal(1.5, 1.2, rows)
    risk = rng.uniform(0, 1, rows)
    age = rng.lognormal(5.5, 1.0, rows)
    features = np.column_stack([amount, hour, distance, risk, age])
    night = np.exp(-(((hour - 3) / 3) ** 2))
    logit = (
        -4.0
        + 0.9 * np.log1p(amount / 50)
        + 1.6 * night
        + 0.6 * np.log1p(distance)
        + 2.5 * risk**2
        - 0.4 * np.log1p(age / 100)
    )
    fraud = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return features.astype(np.float32), fraud.astype(np.float32).reshape(-1, 1)


def train(release: Release) -> dict[str, Array]:
    """The weights of a two-layer network, by plain gradient descent."""
    rng = np.random.default_rng(release.seed)
    features, fraud = draw(rng, release.rows)
    logs = np.log1p(features)
    mean, scale = logs.mean(axis=0), logs.std(axis=0)
    x = (logs - mean) / scale
    w1 = rng.normal(0, 0.5, (len(FEATURES), HIDDEN)).astype(np.float32)
    b1 = np.zeros(HIDDEN, np.float32)
    w2 = rng.normal(0, 0.5, (HIDDEN, 1)).astype(np.float32)
    b2 = np.zeros(1, np.float32)
    rate = np.float32(0.5)
    for _ in range(release.steps):
        hidden = np.tanh(x @ w1 + b1)
        score = 1 / (1 + np.exp(-(hidden @ w2 + b2)))
        error = (score - fraud) / len(x)
        back = (error @ w2.T) * (1 - hidden**2)
        w2 -= rate * (hidden.T @ error)
        b2 -= rate * error.sum(axis=0)
        w1 -= rate * (x.T @ back)
        b1 -= rate * back.sum(axis=0)
    return {"mean": mean, "scale": scale, "w1": w1, "b1": b1, "w2": w2, "b2": b2}


def write(release: Release, weights: dict[str, Array], folder: Path) -> None:
    """Writes `model.onnx` and `metadata.json`."""
    one = np.ones(1, np.float32)
    constants = [numpy_helper.from_array(value, name) for name, value in {**weights, "one": one}.items()]
    nodes = [
        helper.make_node("Add", ["features", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["logs"]),
        helper.make_node("Sub", ["logs", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "w1"], ["product1"]),
        helper.make_node("Add", ["product1", "b1"], ["layer1"]),
        helper.make_node("Tanh", ["layer1"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["product2"]),
        helper.make_node("Add", ["product2", "b2"], ["layer2"]),
        helper.make_node("Sigmoid", ["layer2"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        f"fraud-{release.version}",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="modeldown")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    folder.mkdir(parents=True)
    onnx.save(model, str(folder / "model.onnx"))
    metadata = {"name": "fraud", "version": release.version, "features": list(FEATURES)}
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def main() -> None:
    """Trains every release into the folder that is given."""
    models = Path(sys.argv[1])
    for release in RELEASES:
        write(release, train(release), models / release.version)


if __name__ == "__main__":
    main()
