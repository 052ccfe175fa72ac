#!/usr/bin/env python3
"""Releases versions of the fraud model: into the Deployment that is empty, and then out of the other one."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

NAME, IMAGE, REPLICAS = "fraud", "modeldown/fraud-server:stable", 2
DEPLOYMENTS = ("model-blue", "model-green")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATIENCE_S = 35.0
REGISTRY = httpx.Client(base_url=os.environ.get("REGISTRY_URL", "http://registry.platform:8080") + "/api/2.0/mlflow")


class Refused(Exception):
    """Users are served as before."""


def cluster() -> httpx.Client:
    """The namespace's part of the Kubernetes API."""
    return httpx.Client(
        base_url="https://kubernetes.default.svc",
        headers={"authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"},
        verify=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")),
    )


CLUSTER = cluster()
NAMESPACE = (ACCOUNT / "namespace").read_text().strip()


def alias(name: str) -> str | None:
    """The version that an alias points to, if there is one."""
    answer = REGISTRY.get("/registered-models/alias", params={"name": NAME, "alias": name})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    return str(answer.raise_for_status().json()["model_version"]["version"])


def point(name: str, version: str | None) -> None:
    """Lets an alias point to a version, or to nothing."""
    body = {"name": NAME, "alias": name} | ({} if version is None else {"version": version})
    REGISTRY.request("DELETE" if version is None else "POST", "/registered-models/alias", json=body).raise_for_status()


def deployment(name: str) -> dict[str, Any]:
    """A Deployment as it is."""
    return CLUSTER.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}").raise_for_status().json()


def change(name: str, spec: dict[str, Any]) -> None:
    """Changes a part of a Deployment."""
    headers = {"content-type": "application/strategic-merge-patch+json"}
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
    CLUSTER.patch(path, content=json.dumps({"spec": spec}), headers=headers).raise_for_status()


def pods(colour: str | None = None) -> list[tuple[str | None, bool]]:
    """The version with which each pod answers, and whether it is on its way out."""
    query = {"labelSelector": "app=model" + (f",colour={colour.removeprefix('model-')}" if colour else "")}
    found = CLUSTER.get(f"/api/v1/namespaces/{NAMESPACE}/pods", params=query).raise_for_status().json()["items"]
    return [(answered(pod), "deletionTimestamp" in pod["metadata"]) for pod in found]


def answered(pod: dict[str, Any]) -> str | None:
    """The version with which a pod answers, if it answers."""
    try:
        address = pod["status"]["podIP"]
        answer = httpx.get(f"http://{address}:8000/v2/models/{NAME}", timeout=1.0).raise_for_status()
        return str(answer.json()["versions"][0])
    except (KeyError, httpx.HTTPError):
        return None


def is_filled(name: str, version: str) -> bool:
    """Whether a Deployment has all its pods, and each answers with a version."""
    now = deployment(name)
    status = now.get("status", {})
    is_seen = status.get("observedGeneration", 0) >= now["metadata"]["generation"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    staying = [said for said, is_leaving in pods(name) if not is_leaving]
    return is_seen and counts == [REPLICAS] * 3 and staying == [version] * REPLICAS


def move(version: str) -> None:
    """Lets users be served by a version: the empty Deployment gets it, the other one is emptied."""
    filled = [name for name in DEPLOYMENTS if deployment(name)["spec"]["replicas"]]
    first = filled[0] if filled else DEPLOYMENTS[1]
    other = next(name for name in DEPLOYMENTS if name != first)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"model-{version}"}, "data": {"MODEL_VERSION": version}}
    made = CLUSTER.post(f"/api/v1/namespaces/{NAMESPACE}/configmaps", json=config)
    if made.status_code != httpx.codes.CONFLICT:
        made.raise_for_status()
    container = {"name": "server", "image": IMAGE, "envFrom": [{"configMapRef": {"name": f"model-{version}"}}]}
    change(other, {"replicas": REPLICAS, "template": {"spec": {"containers": [container]}}})
    deadline = time.monotonic() + PATIENCE_S
    while not is_filled(other, version):
        if time.monotonic() > deadline:
            change(other, {"replicas": 0})
            raise Refused(f"version {version} does not come up in {other}")
        time.sleep(0.3)
    change(first, {"replicas": 0})
    while any(said is not None for said, _ in pods(first)) and time.monotonic() < deadline + 10:
        time.sleep(0.3)


def deploy(version: str) -> None:
    """Makes a version the champion."""
    champion = alias("champion")
    if REGISTRY.get("/model-versions/get", params={"name": NAME, "version": version}).status_code != httpx.codes.OK:
        raise Refused(f"the registry has no version {version}")
    judged = subprocess.run([sys.executable, "/release/gate.py", version], capture_output=True, text=True, timeout=30)
    if judged.returncode != 0:
        raise Refused(judged.stderr.strip())
    move(version)
    if version != champion:
        point("previous", champion)
        point("champion", version)


def rollback() -> None:
    """Goes back to the champion before the last deploy, once."""
    previous = alias("previous")
    if previous is not None:
        move(previous)
        point("champion", previous)
        point("previous", None)


def main(arguments: list[str]) -> int:
    """Runs a command."""
    try:
        match arguments:
            case ["deploy", version]:
                deploy(version)
            case ["rollback"]:
                rollback()
            case ["status", *_]:
                serving = {said for said, is_leaving in pods() if said is not None and not is_leaving}
                print(json.dumps({"champion": alias("champion"), "serving": sorted(serving)}))
            case _:
                print("usage: release.py deploy VERSION | rollback | status", file=sys.stderr)
                return 2
    except (Refused, httpx.HTTPError, subprocess.TimeoutExpired) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
