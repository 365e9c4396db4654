"""Runs one Faust worker in this process."""

from __future__ import annotations

import tempfile
from datetime import datetime

from faust.worker import Worker

from grid.network import SwitchPosition
from meterline.bootstrap import opener
from meterline.config import Settings, loss_rules
from meterline.memory import give_back, keep_freed_memory, share_interpreter, without_collecting
from meterline.metrics import WorkerMetrics
from meterline.ops import ops_of
from store.connection import Connection
from store.topology import apply_switch_position
from streams.app import WorkerSettings, build_app
from streams.counters import Vitals
from streams.warm import warm_steps


def run_worker(settings: Settings, instance: str, ops_port: int | None = None) -> None:
    """Work until SIGTERM or SIGINT; ends the process.

    With `ops_port`, health and metrics are served there; a numbered instance adds its number to it.
    """
    keep_freed_memory()
    with without_collecting():
        warm_steps()
    share_interpreter()
    give_back()
    vitals = Vitals()
    # Faust keeps no state of ours: its folder may vanish with the process.
    with tempfile.TemporaryDirectory(prefix="meterline-worker-") as data_dir:
        options = settings.worker
        app = build_app(
            WorkerSettings(
                bootstrap=settings.kafka.bootstrap,
                instance=instance,
                data_dir=data_dir,
                partitions=settings.kafka.partitions,
                batch=options.batch,
                linger_s=options.linger_s,
                gather=options.gather,
                gather_s=options.gather_s,
                limits=settings.settling.limits(),
                rules=loss_rules(settings),
                backfill_after_s=settings.ingest.backfill_after_s,
                stand_in_interval_s=settings.scada.stand_in_interval_s,
                backfill_batch=options.backfill_batch,
                backfill_share=options.backfill_share,
            ),
            opener(settings, f"meterline-worker-{instance}"),
            vitals,
            switches=_write_switch,
        )
        worker = Worker(app, loglevel=None, override_logging=False, redirect_stdouts=False, quiet=True)
        port = None if ops_port is None else ops_port + (int(instance) if instance.isdecimal() else 0)
        with ops_of(port, WorkerMetrics(vitals), lambda: vitals.stalled(options.stalled_s)):
            worker.execute_from_commandline()


def _write_switch(connection: Connection, switch: str, closed: bool, at: datetime) -> None:
    position = SwitchPosition.CLOSED if closed else SwitchPosition.OPEN
    apply_switch_position(connection, switch, position, at)
