"""A service whose figures are a function of time, so that nothing but its faults moves them.

SIGUSR1 overloads it and, sent again, ends that; SIGUSR2 makes it begin anew. It says on stdout when each of that happened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PORT = 8000
REQUESTS_PER_SECOND = 50.0


@dataclass(frozen=True)
class Mood:
    """What requests meet: the shares of them that fail and that are slow, and how many wait."""

    failing: float
    slow: float
    queue: float


WELL = Mood(failing=0.0, slow=0.0, queue=3.0)
OVERLOADED = Mood(failing=0.4, slow=0.6, queue=80.0)


@dataclass(frozen=True)
class Totals:
    """What was counted by a moment, and the mood since then."""

    at: float
    mood: Mood
    requests: float = 0.0
    failed: float = 0.0
    slow: float = 0.0

    def until(self, at: float, mood: Mood) -> Totals:
        """Count on to a later moment, from which on another mood may hold."""
        more = REQUESTS_PER_SECOND * (at - self.at)
        failed, slow = self.failed + more * self.mood.failing, self.slow + more * self.mood.slow
        return Totals(at, mood, self.requests + more, failed, slow)


class Service(Collector):
    """The service; a change of mood replaces its totals in one go, so that a scrape sees the ones or the others."""

    def __init__(self) -> None:
        self.began = time.time()
        self.totals = Totals(self.began, WELL)

    def turn(self, _signal: int, _frame: FrameType | None) -> None:
        """Overload it, or end that."""
        now = time.time()
        well = self.totals.mood == WELL
        self.totals = self.totals.until(now, OVERLOADED if well else WELL)
        say("overloaded" if well else "well", now)

    def collect(self) -> Iterator[Metric]:
        """What it shows at a scrape."""
        totals = self.totals
        now = totals.until(time.time(), totals.mood)
        requests, failed, slow = int(now.requests), int(now.failed), int(now.slow)
        answers = CounterMetricFamily("requests", "Requests by what they were answered with.", labels=["code"])
        answers.add_metric(["200"], requests - failed)
        answers.add_metric(["500"], failed)
        yield answers
        # Nobody counted such failures before the first.
        failures = CounterMetricFamily("failures", "Failures by their kind.", labels=["kind"])
        if failed:
            failures.add_metric(["overload"], failed)
        yield failures
        fast = requests - slow
        buckets = [("0.1", fast), ("0.25", fast), ("0.5", requests), ("+Inf", requests)]
        latency = HistogramMetricFamily("latency_seconds", "How long answers took.")
        latency.add_metric([], buckets, 0.05 * fast + 0.4 * slow)
        yield latency
        yield GaugeMetricFamily("queue_depth", "Requests that wait.", totals.mood.queue)
        yield GaugeMetricFamily("began_timestamp_seconds", "When the service began.", self.began)


def say(what: str, at: float) -> None:
    """Tell whoever reads the log."""
    sys.stdout.write(json.dumps({"what": what, "at": at}) + "\n")
    sys.stdout.flush()


def restart(_signal: int, _frame: FrameType | None) -> None:
    """Begin anew, as another process in this one's place."""
    say("restarting", time.time())
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - nothing of it comes from elsewhere


def main() -> None:
    """Serve until the end."""
    service = Service()
    registry = CollectorRegistry()
    registry.register(service)
    signal.signal(signal.SIGUSR1, service.turn)
    signal.signal(signal.SIGUSR2, restart)
    start_http_server(PORT, registry=registry)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
