"""Measurements of a server for Prometheus."""

import prometheus_client as prometheus

from nasfas_jax.serve.desk import Desk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Measures:
    """Counters, times and numbers in use of one server."""

    def __init__(self, desk: Desk):
        self._registry = own = prometheus.CollectorRegistry()
        self.answers = prometheus.Counter(
            "nasfas_answers",
            "Answers by path and status.",
            ["path", "status"],
            registry=own,
        )
        self.seconds = prometheus.Histogram(
            "nasfas_predict_seconds", "Time from upload to answer.", registry=own
        )
        self.frames = prometheus.Counter(
            "nasfas_frames", "Scored frames of cameras.", registry=own
        )
        requests = prometheus.Gauge(
            "nasfas_requests", "Predictions in work or waiting.", registry=own
        )
        requests.set_function(lambda: desk.requests)
        watchers = prometheus.Gauge("nasfas_watchers", "Watched cameras.", registry=own)
        watchers.set_function(lambda: desk.watchers)

    def text(self) -> str:
        """All measurements in Prometheus' text format."""
        return prometheus.generate_latest(self._registry).decode()
