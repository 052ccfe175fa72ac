"""The reference's gate: what it stops, with the real golden data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent.parent
GOLDEN = HERE / "reference" / "manifests" / "release" / "golden.csv"


@pytest.fixture
def gate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rollout_gate", GOLDEN.parent / "gate.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    loaded.GOLDEN = GOLDEN  # type: ignore[attr-defined]
    return loaded


def test_the_gate_stops_what_is_wrong_or_slow(gate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {tuple(row.items()): float(fraud) for row, fraud in gate.golden()}
    assert gate.judge("4", lambda row: labels[tuple(row.items())]) == 1.0
    for wrong in (lambda row: 1 - labels[tuple(row.items())], lambda _: 0.5, lambda _: float("nan")):
        with pytest.raises(gate.Refused, match="wrong"):
            gate.judge("4", wrong)
    times = iter(range(1_000_000))
    monkeypatch.setattr(gate.time, "perf_counter", lambda: next(times))
    with pytest.raises(gate.Refused, match="slow"):
        gate.judge("4", lambda row: labels[tuple(row.items())])


def test_what_is_no_model_is_refused(gate: ModuleType) -> None:
    with pytest.raises(gate.Refused, match="version 4 cannot be loaded"):
        gate.loaded("4", b"no model")


def test_the_area_under_the_curve_is_what_it_should_be(gate: ModuleType) -> None:
    assert gate.auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx(0.75)


def test_the_golden_data_are_those_of_the_other_exercise() -> None:
    other = HERE.parent / "model-down" / "reference" / "release" / "golden.csv"
    assert GOLDEN.read_bytes() == other.read_bytes()
