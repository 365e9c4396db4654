"""The native stack: Mosquitto, Kafka and TimescaleDB on one machine without containers, kept up by supervisord."""

from deploy.stack.errors import StackError
from deploy.stack.spec import Ports, StackSpec
from deploy.stack.supervise import (
    ProcessState,
    ProcessStatus,
    destroy,
    is_alive,
    pid_of,
    set_gateways,
    start_programs,
    start_servers,
    status,
    stop,
    stop_programs,
    wait_ready,
)

__all__ = [
    "Ports",
    "ProcessState",
    "ProcessStatus",
    "StackError",
    "StackSpec",
    "destroy",
    "is_alive",
    "pid_of",
    "set_gateways",
    "start_programs",
    "start_servers",
    "status",
    "stop",
    "stop_programs",
    "wait_ready",
]
