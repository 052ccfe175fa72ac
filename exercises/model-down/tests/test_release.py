"""The reference's release command: what it refuses, and in which order it moves things. Under traffic the exam tries it."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent.parent
GOLDEN = HERE / "reference" / "release" / "golden.csv"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def release() -> ModuleType:
    loaded = module(HERE / "reference" / "release" / "release.py")
    loaded.GOLDEN = GOLDEN  # type: ignore[attr-defined]
    return loaded


class Stage:
    """A deployment that writes down what is done to it."""

    def __init__(self, release: ModuleType, *, alive: tuple[str, ...] = ("blue", "green")) -> None:
        self.refused = release.Refused
        self.aliases: dict[str, str | None] = {"champion": "3", "previous": "2"}
        self.served = dict.fromkeys(alive, "3")
        self.bad: set[str] = set()
        self.traffic = set(alive)
        self.done: list[str] = []
        self.release = release.Release(self, self, [Replica(self, name) for name in ("blue", "green")])

    # The registry's side.
    def alias(self, alias: str) -> str | None:
        return self.aliases.get(alias)

    def champion(self) -> str:
        return str(self.aliases["champion"])

    def has(self, version: str) -> bool:
        return int(version) < 10

    def point(self, alias: str, version: str | None) -> None:
        self.aliases[alias] = version

    # The balancer's side.
    def drain(self, replica: str) -> None:
        self.traffic.discard(replica)
        assert self.traffic, "users would get nothing"

    def ready(self, replica: str) -> None:
        self.traffic.add(replica)

    def switch(self, to: str, away: str) -> None:
        self.traffic.add(to)
        self.traffic.discard(away)

    def is_up(self, replica: str) -> bool:
        return replica in self.traffic

    def state(self, replica: str) -> str:
        return "DOWN" if replica not in self.served else "UP" if replica in self.traffic else "DRAIN"


class Replica:
    """A replica of a stage."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name, self._stage = name, stage

    def version(self) -> str | None:
        return self._stage.served.get(self.name)

    def load(self, version: str) -> None:
        if version in self._stage.bad:
            raise self._stage.refused(version)
        in_traffic = self.name in self._stage.traffic and len(self._stage.served) > 1
        assert not in_traffic or version == self._stage.aliases["champion"], "users would try it out"
        self._stage.served[self.name] = version


def test_a_deploy_moves_everything_and_a_rollback_moves_it_back(
    release: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated: list[tuple[str, str]] = []
    monkeypatch.setattr(release, "gate", lambda replica, version: gated.append((replica.name, version)))
    stage = Stage(release)
    stage.release.deploy("4")
    assert gated == [("blue", "4")]
    assert (stage.aliases["champion"], stage.aliases["previous"], stage.aliases["challenger"]) == ("4", "3", None)
    assert (stage.served, stage.traffic) == ({"blue": "4", "green": "4"}, {"blue", "green"})
    stage.release.deploy("4")
    assert stage.aliases["previous"] == "3"
    for _ in range(2):
        stage.release.rollback()
        assert (stage.aliases["champion"], stage.aliases["previous"]) == ("3", None)
        assert (stage.served, stage.traffic) == ({"blue": "3", "green": "3"}, {"blue", "green"})


def test_what_is_refused_leaves_everything_as_it_was(release: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: Any, version: str) -> None:
        raise release.Refused(version)

    monkeypatch.setattr(release, "gate", closed)
    stage = Stage(release)
    stage.bad = {"5"}
    for version in ("4", "5", "77"):
        with pytest.raises(release.Refused):
            stage.release.deploy(version)
        assert (stage.aliases["champion"], stage.aliases["previous"]) == ("3", "2")
        assert (stage.served, stage.traffic) == ({"blue": "3", "green": "3"}, {"blue", "green"})
    stage.bad = {"2"}
    with pytest.raises(release.Refused):
        stage.release.rollback()
    assert (stage.served, stage.traffic) == ({"blue": "3", "green": "3"}, {"blue", "green"})


def test_a_rollback_needs_one_living_replica_and_a_deploy_both(release: ModuleType) -> None:
    stage = Stage(release, alive=("green",))
    with pytest.raises(release.Refused, match="blue"):
        stage.release.deploy("4")
    stage.release.rollback()
    assert (stage.aliases["champion"], stage.served) == ("2", {"green": "2"})
    stage = Stage(release, alive=())
    with pytest.raises(release.Refused):
        stage.release.rollback()


class Scored:
    """A replica that scores golden data by a function."""

    name = "blue"

    def __init__(self, score: Any) -> None:
        self.score = score


def test_the_gate_stops_what_is_wrong_or_slow(release: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {tuple(row.items()): fraud for row, fraud in release.golden()}
    release.gate(Scored(lambda row: float(labels[tuple(row.items())])), "4")
    with pytest.raises(release.Refused, match="wrong"):
        release.gate(Scored(lambda row: 1 - float(labels[tuple(row.items())])), "4")
    with pytest.raises(release.Refused, match="wrong"):
        release.gate(Scored(lambda _: 0.5), "4")
    with pytest.raises(release.Refused, match="wrong"):
        release.gate(Scored(lambda _: float("nan")), "4")
    times = iter(range(1_000_000))
    monkeypatch.setattr(release.time, "perf_counter", lambda: next(times))
    with pytest.raises(release.Refused, match="slow"):
        release.gate(Scored(lambda row: float(labels[tuple(row.items())])), "4")


def test_the_area_under_the_curve_is_what_it_should_be(release: ModuleType) -> None:
    assert release.auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx(0.75)


def test_golden_data_is_what_the_training_script_draws() -> None:
    train = module(HERE / "images" / "train.py")
    features, fraud = train.draw(np.random.default_rng(7), train.GOLDEN_ROWS)
    with GOLDEN.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["fraud"]) for row in rows] == fraud[:, 0].astype(int).tolist()
    read = np.asarray([[float(row[name]) for name in train.FEATURES] for row in rows])
    assert np.allclose(read, features, atol=1e-4)
