#!/usr/bin/env python3
"""Releases versions of the fraud model without losing a request.

    release deploy VERSION    gates a version, lets it answer users, and makes it the champion
    release rollback          goes back to the version that was the champion before the last deploy
    release status [--json]   what is served, and what should be

Both replicas serve the champion. A deploy takes one of them out of the traffic, loads the version there and gates it on golden
data; only then it switches the traffic over, moves the alias and refreshes the other. What the gate refuses no user ever sees.
A rollback takes the same road without the gate: that version served users before. It needs one living replica only.

Exit codes: 0 done, or nothing to do; 1 refused or failed, and users are served as before; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import json
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

NAME = "fraud"
REGISTRY_URL = os.environ.get("REGISTRY_URL", "http://registry:8080")
REPLICAS = os.environ.get("REPLICAS", "blue green").split()
ADMIN_SOCKET = Path("/run/haproxy/admin.sock")
GOLDEN = Path(os.environ.get("GOLDEN", "/release/golden.csv"))
LOCK = Path("/tmp/release.lock")  # noqa: S108  # one release at a time in this container, which has one user

# The gate: what a version must reach on golden data.
MIN_AUC = 0.80
MAX_P95_S = 0.100
WARM_UP = 2
TIMED = 40

# How long the balancer and a replica may take for a step.
PATIENCE_S = 10.0


class Refused(Exception):  # noqa: N818  # a refusal is an answer, not a defect
    """A release that does not happen; users are served as before."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition, within limits."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Refused(f"{what} did not happen within {PATIENCE_S:.0f} s")
        time.sleep(0.02)


class Registry:
    """The registry's versions and aliases."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/2.0/mlflow", timeout=5.0)

    def alias(self, alias: str) -> str | None:
        """The version that an alias points to, if there is such an alias."""
        answer = self._client.get("/registered-models/alias", params={"name": NAME, "alias": alias})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return str(answer.raise_for_status().json()["model_version"]["version"])

    def champion(self) -> str:
        """The version that users must be served."""
        champion = self.alias("champion")
        if champion is None:
            raise Refused("the registry has no champion")
        return champion

    def has(self, version: str) -> bool:
        """Whether there is such a version."""
        answer = self._client.get("/model-versions/get", params={"name": NAME, "version": version})
        return answer.status_code == httpx.codes.OK

    def point(self, alias: str, version: str | None) -> None:
        """Lets an alias point to a version, or to nothing."""
        body = {"name": NAME, "alias": alias} | ({} if version is None else {"version": version})
        method = "DELETE" if version is None else "POST"
        self._client.request(method, "/registered-models/alias", json=body).raise_for_status()


class Balancer:
    """HAProxy's runtime API."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def drain(self, replica: str) -> None:
        """Takes a replica out of the traffic, and waits for its last answer."""
        self._run(f"set server models/{replica} state drain")
        wait_until(lambda: int(self._stat(replica)["scur"]) == 0, f"draining {replica}")

    def ready(self, replica: str) -> None:
        """Puts a replica into the traffic, and waits until the balancer finds it well."""
        self._run(f"set server models/{replica} state ready")
        wait_until(lambda: self.is_up(replica), f"{replica} taking traffic")

    def switch(self, to: str, away: str) -> None:
        """Moves all traffic from one replica to the other at once."""
        self._run(f"set server models/{to} state ready; set server models/{away} state drain")
        wait_until(lambda: self.is_up(to), f"{to} taking traffic")

    def is_up(self, replica: str) -> bool:
        """Whether a replica takes traffic and is well."""
        stat = self._stat(replica)
        # A star in front says that the next check is under way.
        return stat["status"] == "UP" and stat["check_status"].removeprefix("* ") == "L7OK"

    def state(self, replica: str) -> str:
        """HAProxy's word for a replica: UP, DOWN, DRAIN, .."""
        return self._stat(replica)["status"]

    def _stat(self, replica: str) -> dict[str, str]:
        rows = csv.DictReader(self._run("show stat models 4 -1").removeprefix("# ").splitlines())
        for row in rows:
            if row["svname"] == replica:
                return row
        raise Refused(f"the balancer knows no server {replica}")

    def _run(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
            admin.settimeout(5)
            admin.connect(str(self._path))
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


class Replica:
    """One model server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = httpx.Client(base_url=f"http://model-{name}:8000", timeout=10.0)

    def version(self) -> str | None:
        """The version that it serves, if it serves."""
        try:
            answer = self._client.get(f"/v2/models/{NAME}", timeout=2.0)
            return str(answer.raise_for_status().json()["versions"][0])
        except httpx.HTTPError:
            return None

    def load(self, version: str) -> None:
        """Lets it serve a version; it refuses one that is damaged or not what was registered."""
        try:
            answer = self._client.post(f"/v2/repository/models/{NAME}/load", json={"parameters": {"version": version}})
        except httpx.HTTPError as error:
            raise Refused(f"{self.name} cannot be asked to load version {version}: {error!r}") from error
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"{self.name} does not load version {version}: {answer.text}")

    def score(self, features: dict[str, float]) -> float:
        """The score of a transaction whose features are all given."""
        inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in features.items()]
        try:
            answer = self._client.post(f"/v2/models/{NAME}/infer", json={"inputs": inputs}).raise_for_status()
            return float(answer.json()["outputs"][0]["data"][0])
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            raise Refused(f"{self.name} does not answer golden data: {error!r}") from error


def golden() -> list[tuple[dict[str, float], bool]]:
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


def gate(replica: Replica, version: str) -> None:
    """Refuses a version that is slow or wrong on golden data."""
    rows = golden()
    for features, _ in rows[:WARM_UP]:
        replica.score(features)
    # No need to wait for the rest of a version that cannot make it any more.
    allowed = math.floor(TIMED * 0.05)
    slow = 0
    for features, _ in rows[:TIMED]:
        began = time.perf_counter()
        replica.score(features)
        slow += time.perf_counter() - began > MAX_P95_S
        if slow > allowed:
            raise Refused(f"version {version} is too slow: its p95 is above {MAX_P95_S * 1000:.0f} ms")
    reached = auc([replica.score(features) for features, _ in rows], [label for _, label in rows])
    if not reached >= MIN_AUC:
        raise Refused(f"version {version} is wrong too often: its AUC is {reached:.3f}, {MIN_AUC} is the least")
    print(f"version {version} passes the gate: AUC {reached:.3f}")


@dataclass
class Release:
    """Everything that a release moves."""

    registry: Registry
    balancer: Balancer
    replicas: list[Replica]

    def deploy(self, version: str) -> None:
        """Gates a version and makes it the champion."""
        champion = self.registry.champion()
        if not self.registry.has(version):
            raise Refused(f"the registry has no version {version}")
        if champion == version and all(replica.version() == version for replica in self.replicas):
            print(f"version {version} is served already")
            return
        missing = [replica.name for replica in self.replicas if not self.balancer.is_up(replica.name)]
        if missing:
            raise Refused(f"a deploy needs every replica, and these take no traffic: {', '.join(missing)}")
        first, *others = self.replicas
        self.registry.point("challenger", version)
        try:
            self.balancer.drain(first.name)
            try:
                first.load(version)
                gate(first, version)
            except Refused:
                first.load(champion)
                self.balancer.ready(first.name)
                raise
            # The alias first: whatever dies in between, a restart serves what has passed the gate.
            if champion != version:
                self.registry.point("previous", champion)
            self.registry.point("champion", version)
            self._take_over(first, others, version)
        finally:
            self.registry.point("challenger", None)
        self._refresh(others, version)
        print(f"version {version} is the champion; it was {champion}")

    def rollback(self) -> None:
        """Goes back to the version that was the champion before the last deploy."""
        previous = self.registry.alias("previous")
        if previous is None:
            print("there is no deploy to roll back")
            return
        alive = [replica for replica in self.replicas if self._version(replica) is not None]
        if not alive:
            raise Refused("no replica is alive")
        first, *others = alive
        if others:
            self.balancer.drain(first.name)
        try:
            first.load(previous)
        except Refused:
            self.balancer.ready(first.name)
            raise
        self.registry.point("champion", previous)
        self.registry.point("previous", None)
        self._take_over(first, others, previous)
        self._refresh(others, previous)
        print(f"version {previous} is the champion again")

    def _version(self, replica: Replica) -> str | None:
        """The version that a replica serves, if it serves. One that the balancer finds dead is not asked: that takes long."""
        return None if self.balancer.state(replica.name) == "DOWN" else replica.version()

    def _take_over(self, first: Replica, others: list[Replica], version: str) -> None:
        """Users are served by the first replica alone."""
        if others:
            for other in others:
                self.balancer.switch(first.name, other.name)
        else:
            self.balancer.ready(first.name)
        print(f"{first.name} serves version {version}")

    def _refresh(self, others: list[Replica], version: str) -> None:
        """The other replicas serve the version as well."""
        for other in others:
            other.load(version)
            self.balancer.ready(other.name)

    def status(self) -> dict[str, Any]:
        """What is served, and what should be."""
        versions = {replica.name: self._version(replica) for replica in self.replicas}
        return {
            "champion": self.registry.champion(),
            "previous": self.registry.alias("previous"),
            "serving": sorted({version for version in versions.values() if version is not None}),
            "replicas": {
                name: {"version": version, "balancer": self.balancer.state(name)} for name, version in versions.items()
            },
        }


@contextmanager
def alone() -> Iterator[None]:
    """One release at a time."""
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("another release is under way") from error
        yield


def main(arguments: list[str]) -> int:
    """Runs a command; the exit code says how it went."""
    parser = argparse.ArgumentParser(prog="release", description="Releases versions of the fraud model.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("deploy", help="gate a version and make it the champion").add_argument("version")
    commands.add_parser("rollback", help="go back to the champion before the last deploy")
    commands.add_parser("status", help="what is served").add_argument("--json", action="store_true")
    parsed = parser.parse_args(arguments)
    release = Release(Registry(REGISTRY_URL), Balancer(ADMIN_SOCKET), [Replica(name) for name in REPLICAS])
    try:
        match parsed.command:
            case "deploy":
                with alone():
                    release.deploy(parsed.version)
            case "rollback":
                with alone():
                    release.rollback()
            case _:
                status = release.status()
                print(
                    json.dumps(status) if parsed.json else "\n".join(f"{key}: {value}" for key, value in status.items())
                )
    except (Refused, httpx.HTTPError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
