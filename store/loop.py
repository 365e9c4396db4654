"""A service's loop over a database connection: reconnects when it is lost, stops when it is asked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from store.connection import LOST, Connection

log = structlog.get_logger("store.loop")


#: What a loop may take to end when it is asked to; what hangs then is left behind, as after a crash.
GRACE_S = 1.5


def run_together(loops: Mapping[str, Callable[[], None]], stop: threading.Event) -> None:
    """Run loops in threads of their own until `stop` is set, or one of them fails and takes the others along.

    Raises
    ------
    Exception
        What the first loop failed with.
    """
    errors: list[BaseException] = []

    def run(loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # noqa: BLE001  # raised again by the caller's thread
            errors.append(error)
        finally:
            stop.set()

    # Daemons: a receiver or a server that hangs doesn't keep the process from ending.
    threads = [threading.Thread(target=run, args=(loop,), name=name, daemon=True) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    # A wait without end would not let Ctrl-C through on every platform.
    while not stop.wait(1.0):
        pass
    deadline = time.monotonic() + GRACE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]


def keep_running(
    name: str,
    open_connection: Callable[[], Connection],
    step: Callable[[Connection], bool],
    stop: threading.Event,
    every_s: float,
    also_retried: tuple[type[Exception], ...] = (),
) -> None:
    """Call `step` over and over until `stop` is set.

    Parameters
    ----------
    name
        Of the service, for its log.
    step
        Does one round; returns whether there is more to do at once. What it raises ends the loop, but for the loss
        of the database and `also_retried`: then it goes on with a new connection after a growing delay.
    every_s
        Pause after a round that leaves nothing to do.
    """
    retried: tuple[type[Exception], ...] = (*LOST, *also_retried)
    connection: Connection | None = None

    def one_round() -> bool:
        nonlocal connection
        if connection is None:
            connection = open_connection()
            connection.autocommit = True
        try:
            return step(connection)
        except retried:
            connection.close()
            connection = None
            raise

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        log.warning("interrupted; trying again", service=name, attempt=state.attempt_number, error=str(error))

    retrying = Retrying(
        retry=retry_if_exception_type(retried),
        wait=wait_random_exponential(multiplier=0.2, max=15),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=warn,
    )
    try:
        while not stop.is_set():
            if not retrying(one_round):
                stop.wait(every_s)
    except RetryError:
        # Asked to stop while it was trying.
        return
    finally:
        if connection is not None:
            connection.close()
