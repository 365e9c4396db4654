"""What operation asks of a process over HTTP: is it alive, is it of use, what does it measure."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client.registry import Collector

log = structlog.get_logger("meterline.ops")

#: Says why the process is of no use now; None when it is.
Readiness = Callable[[], str | None]


@contextlib.contextmanager
def serve_ops(host: str, port: int, collector: Collector, ready: Readiness) -> Iterator[int]:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics`` while the block runs; yields the port.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    collector
        Gives the process's own metrics when it is asked; nothing is counted twice for it.
    ready
        Asked at each ``/readyz``: 503 with the reason while it gives one.

    Raises
    ------
    OSError
        When the port is taken.
    """
    registry = CollectorRegistry()
    for each in (ProcessCollector(registry=None), PlatformCollector(registry=None), collector):
        registry.register(each)
    GCCollector(registry=registry)
    server = make_server(host, port, _application(registry, ready), _Server, _QuietHandler)
    thread = threading.Thread(target=server.serve_forever, name="ops", daemon=True)
    thread.start()
    log.info("health and metrics", url=f"http://{host}:{server.server_port}/metrics")
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextlib.contextmanager
def ops_of(port: int | None, collector: Collector, ready: Readiness) -> Iterator[None]:
    """`serve_ops` on this machine when a port is named; a port that is taken is logged, and the work goes on."""
    with contextlib.ExitStack() as stack:
        if port is not None:
            try:
                stack.enter_context(serve_ops("127.0.0.1", port, collector, ready))
            except OSError as error:
                log.warning("health and metrics can't be served", port=port, error=str(error))
        yield


def _application(registry: CollectorRegistry, ready: Readiness) -> Any:
    metrics = make_wsgi_app(registry)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path == "/healthz":
            return _text(start_response, "200 OK", "ok")
        if path == "/readyz":
            reason = ready()
            return _text(start_response, "503 Service Unavailable" if reason else "200 OK", reason or "ok")
        return _text(start_response, "404 Not Found", "there are /healthz, /readyz and /metrics")

    return application


def _text(start_response: StartResponse, status: str, text: str) -> list[bytes]:
    body = text.encode() + b"\n"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


class _Server(WSGIServer):
    # A worker that is started again finds its port as it left it.
    allow_reuse_address = True


class _QuietHandler(WSGIRequestHandler):
    #: A client that says nothing doesn't keep the one thread.
    timeout = 5

    def log_message(self, *_: Any) -> None:
        """Probes every few seconds are no news."""
