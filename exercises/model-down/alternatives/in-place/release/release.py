#!/usr/bin/env python3
"""Releases versions of the fraud model: judged here on golden data, then swapped in place on every server that is alive."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from typing import Any

import httpx
import numpy as np
import onnxruntime

NAME = "fraud"
SERVERS = ("model-blue", "model-green")
FEATURES = ("amount", "hour", "distance_km", "dispute_rate", "account_age_days")
REGISTRY = httpx.Client(base_url="http://registry:8080", timeout=5.0)
MIN_AUC, MAX_S, SLOW_ALLOWED = 0.80, 0.100, 20


class Refused(Exception):
    """Users are served as before."""


def alias(name: str) -> str | None:
    """The version that an alias points to, if there is one."""
    answer = REGISTRY.get("/api/2.0/mlflow/registered-models/alias", params={"name": NAME, "alias": name})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    return str(answer.raise_for_status().json()["model_version"]["version"])


def point(name: str, version: str | None) -> None:
    """Lets an alias point to a version, or to nothing."""
    body = {"name": NAME, "alias": name} | ({} if version is None else {"version": version})
    method = "DELETE" if version is None else "POST"
    REGISTRY.request(method, "/api/2.0/mlflow/registered-models/alias", json=body).raise_for_status()


def artifact(version: str) -> bytes:
    """A version's model, if it is what was registered."""
    found = REGISTRY.get("/api/2.0/mlflow/model-versions/get", params={"name": NAME, "version": version})
    if found.status_code != httpx.codes.OK:
        raise Refused(f"the registry has no version {version}")
    tags = {tag["key"]: tag["value"] for tag in found.json()["model_version"]["tags"]}
    model = REGISTRY.get(f"/api/2.0/mlflow-artifacts/artifacts/{NAME}/{version}/model.onnx").raise_for_status().content
    if hashlib.sha256(model).hexdigest() != tags.get("sha256"):
        raise Refused(f"version {version} is not what was registered")
    return model


def judge(version: str) -> None:
    """Refuses a version that cannot be loaded, is slow, or tells fraud from the rest badly."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(artifact(version), options, providers=["CPUExecutionProvider"])
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"version {version} cannot be loaded: {error}") from error
    with open("/release/golden.csv") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    scores, slow = [], 0
    for row in rows:
        features = np.asarray([[row[name] for name in FEATURES]], dtype=np.float32)
        began = time.perf_counter()
        scores.append(float(session.run(["score"], {"features": features})[0][0, 0]))
        slow += time.perf_counter() - began > MAX_S
        if slow > SLOW_ALLOWED:
            raise Refused(f"version {version} is too slow")
    fraud = np.asarray([score for score, row in zip(scores, rows, strict=True) if row["fraud"]])
    fine = np.asarray([score for score, row in zip(scores, rows, strict=True) if not row["fraud"]])
    reached = float(np.mean(fraud[:, None] > fine[None, :]) + np.mean(fraud[:, None] == fine[None, :]) / 2)
    if not reached >= MIN_AUC:
        raise Refused(f"version {version} is wrong too often: AUC {reached:.3f}")


def served(server: str) -> str | None:
    """The version that a server answers with, if it answers."""
    try:
        answer = httpx.get(f"http://{server}:8000/v2/models/{NAME}", timeout=1.0)
        return str(answer.raise_for_status().json()["versions"][0])
    except httpx.HTTPError:
        return None


def swap(version: str) -> None:
    """Lets every server that is alive answer with a version; one that is not loads the champion when it comes back."""
    for server in SERVERS:
        if served(server) is not None:
            body = {"parameters": {"version": version}}
            answer = httpx.post(f"http://{server}:8000/v2/repository/models/{NAME}/load", json=body, timeout=10.0)
            if answer.status_code != httpx.codes.OK:
                raise Refused(f"{server} does not load version {version}: {answer.text}")


def deploy(version: str) -> None:
    """Makes a version the champion."""
    champion = alias("champion")
    judge(version)
    if version != champion:
        point("previous", champion)
        point("champion", version)
    swap(version)


def rollback() -> None:
    """Goes back to the champion before the last deploy, once."""
    previous = alias("previous")
    if previous is not None:
        point("champion", previous)
        point("previous", None)
        swap(previous)


def status() -> dict[str, Any]:
    """What users are answered by, and what should answer them."""
    serving = {version for server in SERVERS if (version := served(server)) is not None}
    return {"champion": alias("champion"), "serving": sorted(serving)}


def main(arguments: list[str]) -> int:
    """Runs a command."""
    try:
        match arguments:
            case ["deploy", version]:
                deploy(version)
            case ["rollback"]:
                rollback()
            case ["status", *_]:
                print(json.dumps(status()))
            case _:
                print("usage: release deploy VERSION | rollback | status", file=sys.stderr)
                return 2
    except (Refused, httpx.HTTPError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
