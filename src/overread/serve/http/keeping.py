"""Images kept on request beside the case log, and deleted when their time is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from overread.errors import ConfigError, OverreadError
from overread.serve.case_log.keep import keep, sweep
from overread.serve.http.telemetry import Telemetry
from overread.serve.settings import ServeSettings

logger = logging.getLogger("overread.serve")
SWEEP_S = 600.0


class Keeper:
    """Keeps uploads in `folder` for `days`; looks for those that are over now and every `every` s.

    An image that cannot be kept is counted and told in the server's own log; its answer goes out.
    """

    def __init__(
        self, folder: Path, days: float, telemetry: Telemetry, *, every: float = SWEEP_S
    ) -> None:
        self.folder, self.days, self._lost = folder, days, telemetry.not_kept
        self._stop = threading.Event()
        self._sweep()
        threading.Thread(
            target=self._go_on, args=(every,), name="overread-sweep", daemon=True
        ).start()

    def keep(self, images: Sequence[bytes]) -> None:
        """Write these uploads, as far as they are images. Waits for the disk."""
        for data in images:
            try:
                keep(self.folder, data)
            except OverreadError as error:
                self._lost.inc()
                logger.error("an image was not kept: %s", error)

    def close(self) -> None:
        """End the thread that deletes."""
        self._stop.set()

    def _go_on(self, every: float) -> None:
        while not self._stop.wait(every):
            self._sweep()

    def _sweep(self) -> None:
        try:
            sweep(self.folder, self.days, datetime.now(UTC))
        except OSError as error:
            logger.error("images whose time is over were not deleted: %s", error)


def keeper_of(settings: ServeSettings, telemetry: Telemetry) -> Keeper | None:
    """What keeps images, if settings ask for it; ConfigError where they do not say how long."""
    if settings.keep_images is None:
        return None
    if settings.retention_days is None:
        raise ConfigError(
            "images are kept for a limited time only, and no time is given",
            where="--keep-images",
            hint="Say how long: --retention-days 30.",
        )
    return Keeper(settings.keep_images, settings.retention_days, telemetry)
