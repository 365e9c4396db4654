"""Kafka's data directory, formatted once."""

from __future__ import annotations

import base64
import shutil
import uuid
from pathlib import Path

from deploy.stack.config_files import kafka_log4j2, kafka_properties
from deploy.stack.host import need_tool, run
from deploy.stack.spec import StackSpec, write_atomically


def ensure_storage(spec: StackSpec, libs: Path) -> None:
    """Write Kafka's settings and format its data directory if it is new."""
    home = spec.home / "kafka"
    write_atomically(home / "server.properties", kafka_properties(spec))
    write_atomically(home / "log4j2.properties", kafka_log4j2(spec))
    data = home / "data"
    if (data / "meta.properties").is_file():
        return
    # What a format that was cut short left behind holds no message.
    shutil.rmtree(data, ignore_errors=True)
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if cluster_id.startswith("-"):  # the tool would read it as an option
        cluster_id = "A" + cluster_id[1:]
    java = need_tool("java", "default-jre-headless")
    tool = [
        str(java),
        "-Xmx128m",
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
    ]
    tool += ["-cp", f"{libs}/*", "kafka.tools.StorageTool"]
    options = ["format", "-t", cluster_id, "-c", str(home / "server.properties")]
    run([*tool, *options], what="formatting Kafka's storage", timeout_s=120)
