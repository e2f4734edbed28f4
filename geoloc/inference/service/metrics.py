"""What Prometheus may read: counts, times and sizes, nothing of images or of who asked."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The service's measurements, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "geoloc_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "geoloc_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.model_seconds = Histogram(
            "geoloc_model_seconds", "A batch in the model.", buckets=_SECONDS, registry=registry
        )
        self.batch_images = Histogram(
            "geoloc_batch_images",
            "Images of a batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.images = Counter("geoloc_images", "Images answered.", registry=registry)
        self.refusals = Counter(
            "geoloc_refusals", "Images and requests refused.", ("kind",), registry=registry
        )
        self.queue = Gauge(
            "geoloc_queue_images", "Images read and not yet answered.", registry=registry
        )
        self.ready = Gauge("geoloc_ready", "1 once the model has answered.", registry=registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
