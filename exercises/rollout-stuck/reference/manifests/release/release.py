#!/usr/bin/env python3
"""Releases versions of the fraud model, as rollouts of the Deployment `model`.

    release.py deploy VERSION    gates a version, rolls it out, and makes it the champion
    release.py rollback          goes back to the version that was the champion before the last deploy
    release.py status [--json]   what answers users, and what should

A version is a ConfigMap of its own that the pod template names, so that every revision of the Deployment brings its
version along. A deploy lets a Job judge the version, names its ConfigMap in the template, and waits until every pod
answers with it; only then it moves the alias. A rollout that does not come to its end is taken back.

A rollback takes the template with which the earlier version was served, and nothing of what was changed since: so it
also gets out of a rollout that is stuck. Which version that is says the registry's alias `previous`, and not the
Deployment's history: undoing the newest revision twice would undo the undoing.

Exit codes: 0 done, or nothing to do; 1 refused or failed, and users are served as before; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import copy
import fcntl
import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

NAME = "fraud"
DEPLOYMENT = "model"
PORT = 8000
REGISTRY_URL = os.environ.get("REGISTRY_URL", "http://registry.platform:8080")
KUBERNETES_URL = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOCK = Path("/tmp/release.lock")  # noqa: S108  # one release at a time in this container, which has one user
REVISION = "deployment.kubernetes.io/revision"

# A command has 60 seconds: so long it goes forward, so long it waits for what it has taken back.
FORWARD_S = 45.0
BACK_S = 8.0
# A pod that was replaced a moment ago may still be on its way.
SETTLE_S = 8.0
LOOK_S = 0.3

Json = dict[str, Any]


class Refused(Exception):  # noqa: N818  # a refusal is an answer, not a defect
    """A release that does not happen; users are served as before."""


def wait_until(lacking: Callable[[], str | None], deadline: float) -> None:
    """Waits until nothing is lacking, or refuses with what still was when time was over."""
    while (lacks := lacking()) is not None:
        if time.monotonic() > deadline:
            raise Refused(lacks)
        time.sleep(LOOK_S)


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


def config_map(version: str) -> str:
    """What the ConfigMap of a version is called."""
    return f"{DEPLOYMENT}-{version}"


def sources(template: Json) -> list[Json]:
    """The ConfigMaps from which the pods of a template take their environment."""
    every = (one for container in template["spec"]["containers"] for one in container.get("envFrom", []))
    return [one["configMapRef"] for one in every if "configMapRef" in one]


def serves(template: Json, version: str) -> bool:
    """Whether the pods of a template serve a version."""
    return any(source["name"] == config_map(version) for source in sources(template))


def with_version(template: Json, version: str) -> Json:
    """A template whose pods serve a version, and are otherwise the same."""
    changed = copy.deepcopy(template)
    for source in sources(changed):
        source["name"] = config_map(version)
    return changed


def validation(version: str) -> Json:
    """The Job that judges a version; it has no rights in the cluster."""
    container = {
        "name": "gate",
        "image": "modeldown/python:stable",
        "imagePullPolicy": "Never",
        "command": ["python3", "/release/gate.py", version],
        "env": [{"name": "REGISTRY_URL", "value": REGISTRY_URL}],
        "resources": {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "192Mi"}},
        # What it says last is what the release says.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "release", "mountPath": "/release", "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "release", "configMap": {"name": "release"}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"validate-{version}", "labels": {"app": "validate"}},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 40,
            "ttlSecondsAfterFinished": 600,
            "template": {"metadata": {"labels": {"app": "validate"}}, "spec": pod},
        },
    }


@dataclass(frozen=True)
class Pod:
    """A replica of the model."""

    name: str
    ip: str | None
    ready: bool
    leaving: bool

    @classmethod
    def of(cls, pod: Json) -> Pod:
        """A pod, as the API describes it."""
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
        return cls(
            name=pod["metadata"]["name"],
            ip=pod["status"].get("podIP"),
            ready=conditions.get("Ready") == "True",
            leaving="deletionTimestamp" in pod["metadata"],
        )


class Cluster:
    """The part of the Kubernetes API that a release needs, with the rights of this pod's ServiceAccount."""

    def __init__(self) -> None:
        self._namespace = (ACCOUNT / "namespace").read_text().strip()
        token = (ACCOUNT / "token").read_text().strip()
        authority = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._client = httpx.Client(
            base_url=KUBERNETES_URL,
            headers={"authorization": f"Bearer {token}"},
            transport=httpx.HTTPTransport(verify=authority, retries=3),
            timeout=5.0,
        )
        # A connection that is kept says nothing of a pod's next one.
        self._replicas = httpx.Client(timeout=1.0, limits=httpx.Limits(max_keepalive_connections=0))

    def template(self) -> Json:
        """The pod template of the Deployment."""
        found: Json = self._deployment()["spec"]["template"]
        return found

    def template_of(self, version: str) -> Json:
        """The template with which a version was served last; if no revision did, the current one with the version."""
        deployment = self._deployment()
        revisions = [one for one in self._list("apis/apps/v1", "replicasets") if is_owned(one, deployment)]
        fitting = [one for one in revisions if serves(one["spec"]["template"], version)]
        if not fitting:
            return with_version(deployment["spec"]["template"], version)
        template: Json = copy.deepcopy(max(fitting, key=revision)["spec"]["template"])
        template["metadata"]["labels"].pop("pod-template-hash", None)
        return template

    def set_template(self, template: Json) -> None:
        """Lets the Deployment have another pod template, whole."""
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        headers = {"content-type": "application/json-patch+json"}
        path = self._path("apis/apps/v1", "deployments", DEPLOYMENT)
        self._done(self._send("PATCH", path, content=json.dumps(patch), headers=headers))

    def make_config(self, version: str) -> None:
        """Makes the ConfigMap of a version; one that is there is the same."""
        metadata = {"name": config_map(version), "labels": {"app": DEPLOYMENT}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"MODEL_VERSION": version}}
        answer = self._send("POST", self._path("api/v1", "configmaps"), json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            self._done(answer)

    def pods(self) -> list[Pod]:
        """The replicas of the model, also those that are on their way out."""
        pods = self._list("api/v1", "pods", labelSelector=f"app={DEPLOYMENT}")
        return [Pod.of(pod) for pod in pods if pod["status"].get("phase") not in {"Failed", "Succeeded"}]

    def said(self, pod: Pod) -> str | None:
        """The version with which a replica answers, if it answers."""
        if pod.ip is None:
            return None
        try:
            answer = self._replicas.get(f"http://{pod.ip}:{PORT}/v2/models/{NAME}").raise_for_status()
            return str(answer.json()["versions"][0])
        except httpx.HTTPError:
            return None

    def unfinished(self) -> str | None:
        """What the rollout of the Deployment still lacks; nothing once it is over."""
        deployment = self._deployment()
        status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
        if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return "nobody has looked at the Deployment since it changed"
        count, updated, available = (status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
        if updated < wanted:
            return f"{updated} of {wanted} replicas are new"
        if count > updated:
            return f"{count - updated} old replicas are left"
        if available < wanted:
            return f"{available} of {wanted} replicas are available"
        return None

    def begin_job(self, job: Json) -> str | None:
        """Makes a Job; one of its name that is still there must go first."""
        name = job["metadata"]["name"]
        answer = self._send("POST", self._path("apis/batch/v1", "jobs"), json=job)
        if answer.status_code == httpx.codes.CONFLICT:
            self._send("DELETE", self._path("apis/batch/v1", "jobs", name), json={"propagationPolicy": "Background"})
            return f"the Job {name} of an earlier release is still there"
        self._done(answer)
        return None

    def unjudged(self, name: str) -> str | None:
        """What a Job still lacks; nothing once it has succeeded. If it failed that is a refusal, in its last words."""
        status = self._done(self._send("GET", self._path("apis/batch/v1", "jobs", name))).get("status", {})
        if status.get("failed", 0) > 0:
            raise Refused(self._last_words(name))
        return None if status.get("succeeded", 0) > 0 else f"the Job {name} is not over"

    def _last_words(self, job: str) -> str:
        """Why the pod of a Job ended."""
        pods = self._list("api/v1", "pods", labelSelector=f"job-name={job}")
        for container in (one for pod in pods for one in pod["status"].get("containerStatuses", [])):
            ended = container.get("state", {}).get("terminated", {})
            reason, said = ended.get("reason"), ended.get("message", "").strip().splitlines()
            # It said so itself, or it was ended, such as for its memory.
            if reason is not None:
                return str(said[-1]) if said and reason == "Error" else f"the Job {job} ended: {reason}"
        return f"the Job {job} failed, and no pod of it says why"

    def _deployment(self) -> Json:
        return self._done(self._send("GET", self._path("apis/apps/v1", "deployments", DEPLOYMENT)))

    def _list(self, group: str, resource: str, **query: str) -> list[Json]:
        found: list[Json] = self._done(self._send("GET", self._path(group, resource), params=query))["items"]
        return found

    def _path(self, group: str, *resource: str) -> str:
        return "/".join(("", group, "namespaces", self._namespace, *resource))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:  # noqa: ANN401  # they are httpx's
        try:
            return self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise Refused(f"the cluster cannot be asked: {error!r}") from error

    def _done(self, answer: httpx.Response) -> Json:
        """The object in an answer, or a refusal in Kubernetes' own words."""
        if answer.is_error:
            raise Refused(f"the cluster refuses it: {answer.text}")
        found: Json = answer.json()
        return found


def is_owned(one: Json, owner: Json) -> bool:
    """Whether an object was made for another."""
    return any(other["uid"] == owner["metadata"]["uid"] for other in one["metadata"].get("ownerReferences", []))


def revision(one: Json) -> int:
    """Which revision of its Deployment a ReplicaSet is."""
    return int(one["metadata"].get("annotations", {}).get(REVISION, 0))


@dataclass
class Release:
    """Everything that a release moves."""

    registry: Registry
    cluster: Cluster

    def deploy(self, version: str) -> None:
        """Gates a version and makes it the champion."""
        began = time.monotonic()
        champion = self.registry.champion()
        if not self.registry.has(version):
            raise Refused(f"the registry has no version {version}")
        try:
            wait_until(self.cluster.unfinished, began + SETTLE_S)
        except Refused as lacking:
            raise Refused(f"a rollout is under way or stuck, look at it or roll back first: {lacking}") from lacking
        if champion == version and self._unserved(version) is None:
            print(f"version {version} is served already")
            return
        self._validate(version, began + FORWARD_S)
        self.cluster.make_config(version)
        self._roll(with_version(self.cluster.template(), version), version, began + FORWARD_S)
        # The alias last: as long as it says the version before, that one may still answer.
        if champion != version:
            self.registry.point("previous", champion)
        self.registry.point("champion", version)
        print(f"version {version} is the champion; it was {champion}")

    def rollback(self) -> None:
        """Goes back to the version that was the champion before the last deploy."""
        began = time.monotonic()
        previous = self.registry.alias("previous")
        if previous is None:
            print("there is no deploy to roll back")
            return
        self.cluster.make_config(previous)
        self._roll(self.cluster.template_of(previous), previous, began + FORWARD_S)
        self.registry.point("champion", previous)
        self.registry.point("previous", None)
        print(f"version {previous} is the champion again")

    def _validate(self, version: str, deadline: float) -> None:
        """Lets a Job judge a version, and refuses it where that does."""
        job = validation(version)
        wait_until(lambda: self.cluster.begin_job(job), deadline)
        wait_until(lambda: self.cluster.unjudged(job["metadata"]["name"]), deadline)
        print(f"version {version} passes the gate")

    def _roll(self, template: Json, version: str, deadline: float) -> None:
        """Replaces the pods, and takes that back where it does not come to its end."""
        before = self.cluster.template()
        self.cluster.set_template(template)
        try:
            wait_until(lambda: self.cluster.unfinished() or self._unserved(version), deadline)
        except Refused as lacking:
            self.cluster.set_template(before)
            with suppress(Refused):
                wait_until(self.cluster.unfinished, time.monotonic() + BACK_S)
            raise Refused(f"version {version} could not be rolled out: {lacking}") from lacking
        print(f"every replica answers with version {version}")

    def _unserved(self, version: str) -> str | None:
        """Which pod does not answer with a version; one that is on its way out may answer no more."""
        for pod in self.cluster.pods():
            said = self.cluster.said(pod)
            if said != version and not (pod.leaving and said is None):
                return f"{pod.name} answers with version {said}" if said is not None else f"{pod.name} does not answer"
        return None

    def status(self) -> Json:
        """What answers users, and what should."""
        pods = {pod.name: self.cluster.said(pod) for pod in self.cluster.pods() if pod.ready and not pod.leaving}
        return {
            "champion": self.registry.champion(),
            "previous": self.registry.alias("previous"),
            "serving": sorted({version for version in pods.values() if version is not None}),
            "pods": pods,
            "rollout": self.cluster.unfinished() or "over",
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
    parser = argparse.ArgumentParser(prog="release.py", description="Releases versions of the fraud model.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("deploy", help="gate a version and make it the champion").add_argument("version")
    commands.add_parser("rollback", help="go back to the champion before the last deploy")
    commands.add_parser("status", help="what answers users").add_argument("--json", action="store_true")
    parsed = parser.parse_args(arguments)
    try:
        release = Release(Registry(REGISTRY_URL), Cluster())
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
