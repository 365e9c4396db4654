"""Runs one Faust worker in this process."""

from __future__ import annotations

import tempfile

from faust.worker import Worker

from meterline.bootstrap import opener
from meterline.config import Settings
from streams.app import WorkerSettings, build_app
from streams.warm import warm_steps


def run_worker(settings: Settings, instance: str) -> None:
    """Work until SIGTERM or SIGINT; ends the process."""
    warm_steps()
    # Faust keeps no state of ours: its folder may vanish with the process.
    with tempfile.TemporaryDirectory(prefix="meterline-worker-") as data_dir:
        options = settings.worker
        app = build_app(
            WorkerSettings(
                bootstrap=settings.kafka.bootstrap,
                instance=instance,
                data_dir=data_dir,
                batch=options.batch,
                linger_s=options.linger_s,
                gather=options.gather,
                gather_s=options.gather_s,
            ),
            opener(settings, f"meterline-worker-{instance}"),
        )
        worker = Worker(app, loglevel=None, override_logging=False, redirect_stdouts=False, quiet=True)
        worker.execute_from_commandline()
