"""Trains the fraud models and writes them as ONNX files: the same seed gives the same models.

Each version is a small network that reads one row of features and answers the probability of fraud. Scaling is part of the
file, so that whoever serves it passes features as they come.

    train.py FOLDER           the registry's first versions, and those that an exam releases
    train.py --golden FILE    the golden data: labelled transactions that no version was trained on
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES = ("amount", "hour", "distance_km", "dispute_rate", "account_age_days")
# What stands in for a feature of the store's that cannot be had: its median.
DEFAULTS = {"dispute_rate": 0.5, "account_age_days": 244.6919}
HIDDEN = 8
# What the model server's onnxruntime still reads.
IR_VERSION = 8
OPSET = 17
GOLDEN_ROWS = 400
# Upper bounds of the buckets in which the distribution of scores is described, as the model server counts them.
BUCKETS = [step / 20 for step in range(1, 21)]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Release:
    """How one version was trained."""

    name: str
    seed: int
    steps: int
    rows: int


REGISTERED = (
    Release(name="1", seed=1, steps=400, rows=3_000),
    Release(name="2", seed=2, steps=500, rows=5_000),
    Release(name="3", seed=3, steps=600, rows=8_000),
)
ALIASES = {"champion": "3", "previous": "2"}
GOOD = (
    Release(name="good-a", seed=14, steps=650, rows=9_000),
    Release(name="good-b", seed=15, steps=700, rows=10_000),
    Release(name="good-c", seed=17, steps=550, rows=9_000),
)
# What the bad versions of an exam were before someone spoiled them.
SPOILED = (
    Release(name="inverted", seed=16, steps=600, rows=8_000),
    Release(name="slow", seed=18, steps=600, rows=8_000),
    Release(name="unloadable", seed=19, steps=600, rows=8_000),
)
# How often the slow version multiplies two matrices for one row, and how large they are.
TURNS, SIZE = 2_000, 256


def draw(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Transactions and whether each was fraud."""
    amount = rng.lognormal(3.5, 1.0, rows)
    hour = rng.uniform(0, 24, rows)
    distance = rng.lognormal(1.5, 1.2, rows)
    disputes = rng.uniform(0, 1, rows)
    age = rng.lognormal(5.5, 1.0, rows)
    features = np.column_stack([amount, hour, distance, disputes, age])
    night = np.exp(-(((hour - 3) / 3) ** 2))
    logit = (
        -5.6
        + 1.5 * np.log1p(amount / 50)
        + 2.4 * night
        + 0.9 * np.log1p(distance)
        + 4.0 * disputes**2
        - 0.8 * np.log1p(age / 100)
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


def scores(weights: dict[str, Array], features: Array) -> Array:
    """What a version answers, as its file computes it."""
    x = (np.log1p(features) - weights["mean"]) / weights["scale"]
    hidden = np.tanh(x @ weights["w1"] + weights["b1"])
    return np.asarray(1 / (1 + np.exp(-(hidden @ weights["w2"] + weights["b2"]))), np.float32)


def busywork() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """A loop that takes its time and adds nothing: `score` is `plain` and a zero that is hard to come by."""
    square = helper.make_tensor_value_info("square", TensorProto.FLOAT, [SIZE, SIZE])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["keep_in"], ["keep"]),
            helper.make_node("MatMul", ["square", "matrix"], ["product"]),
            helper.make_node("Tanh", ["product"], ["squashed"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("keep_in", TensorProto.BOOL, []),
            square,
        ],
        [
            helper.make_tensor_value_info("keep", TensorProto.BOOL, []),
            helper.make_tensor_value_info("squashed", TensorProto.FLOAT, [SIZE, SIZE]),
        ],
    )
    nodes = [
        # The matrix comes from the row, so that nobody works it out beforehand.
        helper.make_node("ReduceSum", ["features"], ["total"], keepdims=0),
        helper.make_node("Expand", ["total", "shape"], ["matrix"]),
        helper.make_node("Loop", ["turns", "yes", "matrix"], ["result"], body=body),
        helper.make_node("ReduceMax", ["result"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["score"]),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in {
            "shape": np.asarray([SIZE, SIZE], np.int64),
            "turns": np.int64(TURNS),
            "yes": np.bool_(True),  # noqa: FBT003  # a tensor's value
            "zero": np.float32(0),
        }.items()
    ]
    return nodes, constants


def as_onnx(weights: dict[str, Array], *, slow: bool = False) -> bytes:
    """The model as a file, which does not say which of them it is."""
    one = np.ones(1, np.float32)
    constants = [numpy_helper.from_array(value, key) for key, value in {**weights, "one": one}.items()]
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
        helper.make_node("Sigmoid", ["layer2"], ["plain" if slow else "score"]),
    ]
    if slow:
        more, values = busywork()
        nodes, constants = nodes + more, constants + values
    graph = helper.make_graph(
        nodes,
        "fraud",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="modeldown")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write(folder: Path, content: bytes, weights: dict[str, Array]) -> None:
    """Writes `model.onnx`, and in `metadata.json` what a server must know of it."""
    features, _ = draw(np.random.default_rng(99), 20_000)
    answered = scores(weights, features)[:, 0]
    metadata = {
        "name": "fraud",
        "features": list(FEATURES),
        "defaults": DEFAULTS,
        # The share of scores up to each bound, on data like that of its training: what live scores are compared with.
        "score_distribution": {str(bound): round(float((answered <= bound).mean()), 4) for bound in BUCKETS},
    }
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def keep(folder: Path, weights: dict[str, Array]) -> None:
    """Writes the weights beside the model, for the oracle, which changes them a little in every exam."""
    (folder / "weights").mkdir()
    for name, values in weights.items():
        np.save(folder / "weights" / f"{name}.npy", values)


def register(folder: Path) -> None:
    """The versions that the registry begins with."""
    for release in REGISTERED:
        weights = train(release)
        content = as_onnx(weights)
        write(folder / release.name, content, weights)
        digest = json.dumps({"sha256": hashlib.sha256(content).hexdigest()})
        (folder / release.name / "version.json").write_text(digest + "\n")
    (folder / "aliases.json").write_text(json.dumps(ALIASES) + "\n")


def prepare_exam(folder: Path) -> None:
    """The versions that an exam releases: good ones, and those that a gate must stop."""
    for release in GOOD:
        weights = train(release)
        write(folder / release.name, as_onnx(weights), weights)
        keep(folder / release.name, weights)
    for release in SPOILED:
        name, weights = release.name, train(release)
        its = {**weights, "w2": -weights["w2"], "b2": -weights["b2"]} if name == "inverted" else weights
        write(folder / name, as_onnx(its, slow=name == "slow"), weights)
        keep(folder / name, its)
        (folder / name / ("cut" if name == "unloadable" else "bad")).touch()


def write_golden(path: Path) -> None:
    """Labelled transactions for a gate."""
    features, fraud = draw(np.random.default_rng(7), GOLDEN_ROWS)
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*FEATURES, "fraud"])
        for index in range(GOLDEN_ROWS):
            rows.writerow([*(f"{value:.4f}" for value in features[index, :]), int(fraud[index, 0])])


def main() -> None:
    """Trains everything, or writes the golden data."""
    match sys.argv[1:]:
        case ["--golden", file]:
            write_golden(Path(file))
        case [folder]:
            register(Path(folder) / "registry" / "fraud")
            prepare_exam(Path(folder) / "exam")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
