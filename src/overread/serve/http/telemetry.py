"""What a server counts, for Prometheus. No label holds anything that a caller chose."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from overread.predict.prediction import Prediction

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64)
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)


class Telemetry:
    """The figures of one application, in a registry of their own."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._registry = own
        self.requests = Counter(
            "overread_requests", "Answered requests.", ("method", "route", "status"), registry=own
        )
        self.seconds = Histogram(
            "overread_request_seconds",
            "From a request's head to its last byte.",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        self.verdicts = Counter(
            "overread_verdicts", "Images judged.", ("model", "status", "code"), registry=own
        )
        self.ood = Histogram(
            "overread_ood_score",
            "Distance from the training images; 1 is the limit above which an image is rejected.",
            ("model",),
            buckets=SHARES,
            registry=own,
        )
        self.batches = Histogram(
            "overread_batch_images",
            "Images run together.",
            ("model",),
            buckets=IMAGES,
            registry=own,
        )
        self.logged = Counter("overread_cases_logged", "Cases stored.", registry=own)
        self.not_kept = Counter(
            "overread_images_lost", "Images that could not be kept.", registry=own
        )
        self.lost = Counter("overread_cases_lost", "Cases that were not stored.", registry=own)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(f"overread_{name}", meaning, registry=self._registry).set_function(read)

    def judged(self, model: str, prediction: Prediction, ood_limit: float | None) -> None:
        """Count one verdict."""
        self.verdicts.labels(model, prediction.status, prediction.code).inc()
        if prediction.ood_score is not None and ood_limit:
            self.ood.labels(model).observe(prediction.ood_score / ood_limit)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
