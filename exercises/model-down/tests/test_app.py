"""The reference's model server, with the real models."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

APP = Path(__file__).parent.parent / "reference" / "model" / "app.py"
ROW = {"amount": 40.0, "hour": 3.0, "distance_km": 12.0, "merchant_risk": 0.7, "account_age_days": 90.0}


def client(path: str) -> TestClient:
    for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001  # each server is a process of its own elsewhere
        REGISTRY.unregister(collector)
    os.environ["MODEL_PATH"] = path
    spec = importlib.util.spec_from_file_location("app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Types are looked up by the module's name when a request is read.
    sys.modules["app"] = module
    spec.loader.exec_module(module)
    return TestClient(module.app)


def request(row: dict[str, float]) -> dict[str, Any]:
    return {
        "inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in row.items()]
    }


@pytest.fixture
def server() -> TestClient:
    return client("/models/3")


def score(server: TestClient, row: dict[str, float]) -> float:
    answer = server.post("/v2/models/fraud/infer", json=request(row))
    assert answer.status_code == 200
    return float(answer.json()["outputs"][0]["data"][0])


def test_an_answer_has_version_score_and_degradation(server: TestClient) -> None:
    answer = server.post("/v2/models/fraud/infer", json=request(ROW)).json()
    assert answer["model_version"] == "3"
    assert answer["parameters"] == {"degraded": False}
    (output,) = answer["outputs"]
    assert (output["name"], output["shape"]) == ("score", [1])
    assert 0 <= output["data"][0] <= 1


def test_the_order_of_tensors_does_not_matter(server: TestClient) -> None:
    backwards = dict(reversed(ROW.items()))
    assert score(server, ROW) == score(server, backwards)


def test_riskier_shops_score_higher(server: TestClient) -> None:
    assert score(server, ROW | {"merchant_risk": 0.95}) > score(server, ROW | {"merchant_risk": 0.05})


@pytest.mark.parametrize(
    "row",
    [{}, {name: value for name, value in ROW.items() if name != "hour"}],
)
def test_a_request_without_each_feature_is_refused(server: TestClient, row: dict[str, float]) -> None:
    refused = server.post("/v2/models/fraud/infer", json=request(row))
    assert refused.status_code == 400


def test_a_feature_that_stands_there_twice_is_refused(server: TestClient) -> None:
    twice = {"inputs": request(ROW)["inputs"] + request({"hour": 4.0})["inputs"]}
    assert server.post("/v2/models/fraud/infer", json=twice).status_code == 400


def test_what_is_no_number_is_refused(server: TestClient) -> None:
    body = '{"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "data": [NaN]}]}'
    assert server.post("/v2/models/fraud/infer", content=body).status_code in {400, 422}


def test_requests_are_counted_by_status(server: TestClient) -> None:
    score(server, ROW)
    server.post("/v2/models/fraud/infer", json=request({}))
    metrics = server.get("/metrics").text
    assert 'inference_requests_total{code="200"} 1.0' in metrics
    assert 'inference_requests_total{code="400"} 1.0' in metrics
    assert 'model_info{version="3"} 1.0' in metrics


def test_a_server_without_a_model_is_alive_and_not_ready() -> None:
    server = client("/models/none")
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/health/ready").status_code == 503
    assert server.post("/v2/models/fraud/infer", json=request(ROW)).status_code == 503
