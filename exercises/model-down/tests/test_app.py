"""The reference's model server, with the real models."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from conftest import Platform

SOURCE = Path(__file__).parent.parent / "reference" / "model"
OWN = {"amount": 40.0, "hour": 3.0, "distance_km": 12.0}
STORED = {"dispute_rate": 0.7, "account_age_days": 90.0}
DEFAULTS = {"dispute_rate": 0.5, "account_age_days": 244.6919}

Start = Callable[[], TestClient]


@pytest.fixture
def start(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts servers as processes of their own would: with fresh modules, metrics and settings."""
    monkeypatch.syspath_prepend(str(SOURCE))
    monkeypatch.setenv("REGISTRY_URL", platform.url)
    monkeypatch.setenv("FEATURES_URL", platform.url)
    with ExitStack() as running:

        def started() -> TestClient:
            for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001  # each server is a process of its own elsewhere
                REGISTRY.unregister(collector)
            for name in ("app", "features", "model", "registry"):
                sys.modules.pop(name, None)
            return running.enter_context(TestClient(importlib.import_module("app").app))

        yield started


@pytest.fixture
def server(start: Start) -> TestClient:
    client = start()
    deadline = time.monotonic() + 10
    while client.get("/v2/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return client


def request(row: dict[str, float], account: str | None = "a-1") -> dict[str, Any]:
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in row.items()]
    if account is not None:
        inputs.append({"name": "account", "shape": [1], "datatype": "BYTES", "data": [account]})
    return {"inputs": inputs}


def infer(server: TestClient, row: dict[str, float], account: str | None = "a-1") -> dict[str, Any]:
    answer = server.post("/v2/models/fraud/infer", json=request(row, account))
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def score(server: TestClient, row: dict[str, float]) -> float:
    return float(infer(server, row, account=None)["outputs"][0]["data"][0])


def test_an_answer_has_version_score_and_degradation(server: TestClient) -> None:
    answer = infer(server, OWN)
    assert answer["model_version"] == "3"
    assert answer["parameters"] == {"degraded": False}
    (output,) = answer["outputs"]
    assert (output["name"], output["shape"]) == ("score", [1])
    assert output["data"][0] == score(server, OWN | STORED)


def test_golden_data_needs_no_store(server: TestClient, platform: Platform) -> None:
    platform.store = "failing"
    assert infer(server, OWN | STORED, account=None)["parameters"] == {"degraded": False}
    assert platform.asked == 0


def test_riskier_accounts_score_higher(server: TestClient) -> None:
    assert score(server, OWN | STORED | {"dispute_rate": 0.95}) > score(server, OWN | STORED | {"dispute_rate": 0.05})


@pytest.mark.parametrize("store", ["slow", "failing", "stale", "garbled"])
def test_without_the_store_defaults_stand_in_and_the_answer_says_so(
    server: TestClient, platform: Platform, store: str
) -> None:
    platform.store = store
    began = time.perf_counter()
    answer = infer(server, OWN)
    assert time.perf_counter() - began < 0.4
    assert answer["parameters"] == {"degraded": True}
    assert answer["outputs"][0]["data"][0] == score(server, OWN | DEFAULTS)
    platform.store = "well"
    assert infer(server, OWN)["parameters"] == {"degraded": False}


@pytest.mark.parametrize("row", [{}, {name: value for name, value in OWN.items() if name != "hour"}])
def test_a_request_without_each_feature_is_refused(server: TestClient, row: dict[str, float]) -> None:
    assert server.post("/v2/models/fraud/infer", json=request(row)).status_code == 400


def test_a_request_without_account_is_refused(server: TestClient) -> None:
    assert server.post("/v2/models/fraud/infer", json=request(OWN, account=None)).status_code == 400


def test_a_feature_that_stands_there_twice_is_refused(server: TestClient) -> None:
    twice = {"inputs": request(OWN)["inputs"] + request({"hour": 4.0})["inputs"]}
    assert server.post("/v2/models/fraud/infer", json=twice).status_code == 400


def test_what_is_no_number_is_refused(server: TestClient) -> None:
    body = '{"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "data": [NaN]}]}'
    assert server.post("/v2/models/fraud/infer", content=body).status_code in {400, 422}


def test_a_version_is_loaded_beside_the_one_that_serves(server: TestClient, platform: Platform) -> None:
    def load(version: str) -> int:
        body = {"parameters": {"version": version}}
        return int(server.post("/v2/repository/models/fraud/load", json=body).status_code)

    assert load("2") == 200
    assert infer(server, OWN)["model_version"] == "2"
    assert load("77") == 422
    platform.digests["1"] = "0" * 64
    assert load("1") == 422
    assert infer(server, OWN)["model_version"] == "2"
    metrics = server.get("/metrics").text
    assert 'model_info{version="2"} 1.0' in metrics
    assert 'model_info{version="3"}' not in metrics


def test_metrics_say_what_happened(server: TestClient, platform: Platform) -> None:
    infer(server, OWN)
    platform.store = "failing"
    infer(server, OWN)
    server.post("/v2/models/fraud/infer", json=request({}))
    metrics = server.get("/metrics").text
    for line in (
        'inference_requests_total{code="200"} 2.0',
        'inference_requests_total{code="400"} 1.0',
        "inference_degraded_total 1.0",
        'feature_lookups_total{outcome="ok"} 1.0',
        'feature_lookups_total{outcome="error"} 1.0',
        'inference_score_expected{le="1.0",version="3"} 1.0',
    ):
        assert line in metrics


def test_a_server_without_a_champion_is_alive_and_not_ready(start: Start, platform: Platform) -> None:
    platform.aliases.clear()
    client = start()
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 503
    assert client.post("/v2/models/fraud/infer", json=request(OWN)).status_code == 503
