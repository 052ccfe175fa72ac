"""The reference's release command: what it refuses, in which order it moves things, and what it asks of Kubernetes."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

SOURCE = Path(__file__).parent.parent / "reference" / "manifests" / "release" / "release.py"
IMAGE = "modeldown/fraud-server:stable"

Json = dict[str, Any]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rollout_release", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    # Nobody waits for what does not come.
    for limit in ("FORWARD_S", "BACK_S", "SETTLE_S", "LOOK_S"):
        monkeypatch.setattr(loaded, limit, 0.0)
    return loaded


def template(version: str, image: str = IMAGE) -> Json:
    container = {"name": "server", "image": image, "envFrom": [{"configMapRef": {"name": f"model-{version}"}}]}
    return {"metadata": {"labels": {"app": "model"}}, "spec": {"containers": [container]}}


class Stage:
    """A registry and a cluster that write down what is done to them."""

    def __init__(self, release: ModuleType) -> None:
        self.module = release
        self.aliases: dict[str, str | None] = {"champion": "3", "previous": "2"}
        self.now = template("3")
        self.served = "3"
        self.revisions = [self.now]
        self.configs = {"3"}
        self.bad: dict[str, str] = {}
        self.unloadable: set[str] = set()
        self.release = release.Release(self, self)

    # The registry's side.
    def alias(self, alias: str) -> str | None:
        return self.aliases.get(alias)

    def champion(self) -> str:
        return str(self.aliases["champion"])

    def has(self, version: str) -> bool:
        return int(version) < 10

    def point(self, alias: str, version: str | None) -> None:
        if alias == "champion":
            assert self.served == version, "the alias moves when the pods have"
        self.aliases[alias] = version

    # The cluster's side.
    def template(self) -> Json:
        return copy.deepcopy(self.now)

    def template_of(self, version: str) -> Json:
        fitting = [one for one in self.revisions if self.module.serves(one, version)]
        return copy.deepcopy(fitting[-1]) if fitting else dict(self.module.with_version(self.now, version))

    def set_template(self, changed: Json) -> None:
        self.now = copy.deepcopy(changed)
        self.revisions.append(self.now)
        version = self.version()
        assert version in self.configs, "its pods could not be made"
        if not self.is_stuck():
            self.served = version

    def version(self) -> str:
        (source,) = self.module.sources(self.now)
        return str(source["name"]).removeprefix("model-")

    def is_stuck(self) -> bool:
        return self.now["spec"]["containers"][0]["image"] != IMAGE or self.version() in self.unloadable

    def make_config(self, version: str) -> None:
        self.configs.add(version)

    def pods(self) -> list[Any]:
        return [self.module.Pod(name=name, ip="10.0.0.1", ready=True, leaving=False) for name in ("one", "other")]

    def said(self, _: Any) -> str:
        return self.served

    def unfinished(self) -> str | None:
        return "1 of 2 replicas are new" if self.is_stuck() else None

    def begin_job(self, job: Json) -> str | None:
        assert job["metadata"]["name"].startswith("validate-")
        return None

    def unjudged(self, name: str) -> str | None:
        version = name.removeprefix("validate-")
        if version in self.bad:
            raise self.module.Refused(self.bad[version])
        return None


def test_a_deploy_moves_everything_and_a_rollback_moves_it_back_once(release: ModuleType) -> None:
    stage = Stage(release)
    stage.release.deploy("4")
    assert (stage.served, stage.aliases) == ("4", {"champion": "4", "previous": "3"})
    stage.release.deploy("4")
    assert stage.aliases["previous"] == "3"
    for _ in range(2):
        stage.release.rollback()
        assert (stage.served, stage.aliases) == ("3", {"champion": "3", "previous": None})


def test_what_is_refused_leaves_everything_as_it_was(release: ModuleType) -> None:
    stage = Stage(release)
    stage.bad = {"5": "version 5 is too slow"}
    stage.unloadable = {"6"}
    for version, why in (("5", "too slow"), ("6", "rolled out: 1 of 2"), ("77", "no version 77")):
        with pytest.raises(release.Refused, match=why):
            stage.release.deploy(version)
        assert (stage.served, stage.now) == ("3", template("3"))
        assert stage.aliases == {"champion": "3", "previous": "2"}


def test_a_rollback_gets_out_of_a_stuck_rollout_and_a_deploy_waits_for_that(release: ModuleType) -> None:
    stage = Stage(release)
    stage.release.deploy("4")
    stage.set_template(template("4", image="modeldown/fraud-server:stabel"))
    with pytest.raises(release.Refused, match="roll back first"):
        stage.release.deploy("5")
    stage.release.rollback()
    assert (stage.now, stage.served, stage.aliases["champion"]) == (template("3"), "3", "3")


def test_the_champion_can_be_rolled_out_again_after_the_manifests_were_applied(release: ModuleType) -> None:
    stage = Stage(release)
    stage.release.deploy("4")
    stage.set_template(template("3"))
    stage.release.deploy("4")
    assert (stage.served, stage.aliases) == ("4", {"champion": "4", "previous": "3"})


def test_a_pod_that_leaves_may_be_silent_and_no_other(release: ModuleType) -> None:
    stage = Stage(release)
    answers = {"new": "4", "old": "3"}
    pods = [release.Pod(name=name, ip="10.0.0.1", ready=True, leaving=name == "old") for name in answers]
    stage.pods = lambda: pods  # type: ignore[method-assign]
    stage.said = lambda pod: answers.get(pod.name)  # type: ignore[method-assign, assignment, return-value]
    assert stage.release._unserved("4") == "old answers with version 3"  # noqa: SLF001
    del answers["old"]
    assert stage.release._unserved("4") is None  # noqa: SLF001
    del answers["new"]
    assert stage.release._unserved("4") == "new does not answer"  # noqa: SLF001


class Api:
    """Kubernetes' API, as far as it is asked here."""

    def __init__(self, release: ModuleType) -> None:
        self.sets: list[Json] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.status: dict[str, int] = {}
        self.pods: list[Json] = []
        self.cluster = release.Cluster.__new__(release.Cluster)
        self.cluster._namespace = "here"  # noqa: SLF001
        transport = httpx.MockTransport(self.answer)
        self.cluster._client = httpx.Client(base_url=release.KUBERNETES_URL, transport=transport)  # noqa: SLF001

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body))
        resource = request.url.path.split("/namespaces/here/")[1].split("/")[0]
        deployment = {"metadata": {"uid": "u", "generation": 2}, "spec": {"replicas": 2, "template": template("5")}}
        found: Json = {
            "deployments": deployment | {"status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2}},
            "replicasets": {"items": self.sets},
            "jobs": {"status": {"failed": 1}},
            "pods": {"items": self.pods},
            "configmaps": {},
        }[resource]
        return httpx.Response(self.status.get(f"{request.method} {resource}", 200), json=found)


def replica_set(number: int, version: str, image: str = IMAGE, owner: str = "u") -> Json:
    labelled = template(version, image)
    labelled["metadata"]["labels"]["pod-template-hash"] = str(number)
    metadata = {
        "annotations": {"deployment.kubernetes.io/revision": str(number)},
        "ownerReferences": [{"uid": owner}],
    }
    return {"metadata": metadata, "spec": {"template": labelled}}


def test_the_template_of_a_version_is_that_of_its_newest_revision(release: ModuleType) -> None:
    api = Api(release)
    api.sets = [
        replica_set(9, "4"),
        replica_set(10, "4", image="modeldown/fraud-server:new"),
        replica_set(11, "5", image="modeldown/fraud-server:stabel"),
        replica_set(12, "4", owner="somebody else's"),
    ]
    assert api.cluster.template_of("4") == template("4", image="modeldown/fraud-server:new")
    assert api.cluster.template_of("2") == template("2")


def test_the_api_is_asked_for_what_is_needed(release: ModuleType) -> None:
    api = Api(release)
    assert api.cluster.unfinished() == "1 old replicas are left"
    api.cluster.set_template(template("4"))
    patch = [{"op": "replace", "path": "/spec/template", "value": template("4")}]
    assert api.asked[-1] == ("PATCH", "/apis/apps/v1/namespaces/here/deployments/model", patch)
    # A ConfigMap that is there is the same; one that may not be made is told of.
    api.status = {"POST configmaps": 409}
    api.cluster.make_config("4")
    api.status = {"POST configmaps": 403}
    with pytest.raises(release.Refused, match="refuses"):
        api.cluster.make_config("4")
    api.status = {"POST jobs": 409}
    assert "still there" in api.cluster.begin_job(release.validation("4"))
    assert api.asked[-1][:2] == ("DELETE", "/apis/batch/v1/namespaces/here/jobs/validate-4")


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        ({"reason": "Error", "message": "warning\nversion 4 is too slow\n"}, "^version 4 is too slow$"),
        ({"reason": "OOMKilled", "message": "warning"}, "OOMKilled"),
        ({}, "no pod of it says why"),
    ],
)
def test_a_job_that_failed_says_why(release: ModuleType, ended: Json, why: str) -> None:
    api = Api(release)
    api.pods = [{"status": {"containerStatuses": [{"state": {"terminated": ended}}]}}]
    with pytest.raises(release.Refused, match=why):
        api.cluster.unjudged("validate-4")


def test_a_validation_is_admitted_by_pod_security(release: ModuleType) -> None:
    pod = release.validation("4")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "modeldown/python:stable"
    assert container["imagePullPolicy"] == "Never"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
