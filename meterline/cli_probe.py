"""`meterline probe`: measures the channel from a site to the centre, and files what was found."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import JsonOption, fail, print_json, printable

if TYPE_CHECKING:
    from grid.channel import Limits, Measured, Traffic
    from meterline.centre import Centre

SecretOption = Annotated[Path, typer.Option("--password-file", help="File with the account's password")]
ApiOption = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="The centre's console: takes the clock's offset, and the result"),
]
TokenOption = Annotated[Path | None, typer.Option("--token-file", help="File with a token of the unit, for --api")]
CaOption = Annotated[Path | None, typer.Option("--ca-file", help="Authority of the centre's certificates; speaks TLS")]


def probe(
    gateway: Annotated[str, typer.Argument(help="The site's account at the broker")],
    password_file: SecretOption,
    host: Annotated[str, typer.Option(help="The broker")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 1883,
    unit: Annotated[str | None, typer.Option("--unit", help="Organisation of the site, for --api")] = None,
    api: ApiOption = None,
    token_file: TokenOption = None,
    ca_file: CaOption = None,
    count: Annotated[int, typer.Option(min=2, max=10_000, help="Messages that come back")] = 50,
    every: Annotated[float, typer.Option(min=0.001, max=60, help="Seconds between them")] = 0.1,
    wait: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds after which one is lost")] = 5.0,
    load: Annotated[int, typer.Option(min=0, max=64 << 20, help="Bytes that measure throughput; 0: none")] = 262_144,
    meters: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Meters that the site reads")] = None,
    blocks: Annotated[int, typer.Option(min=1, max=100_000, help="Messages that it sends an interval")] = 1,
    interval: Annotated[int, typer.Option(min=1, max=86_400, help="Seconds of an interval")] = 900,
    as_json: JsonOption = False,
) -> None:
    """Measure delay, jitter, loss and throughput from here to the broker, and how far this clock is off.

    With --api the result is filed at the centre, which judges it by what it knows of the gateway's meters; else by
    --meters. Ends with 1 where the channel falls short.

    Example: meterline probe headend-7 --password-file pw --host mqtt.example.org --unit county-3 --meters 400
    """
    from grid.channel import Limits, Traffic, shortfalls, summarise
    from ingest.sources.mqtt import ProbeError, ProbeSettings, measure_channel
    from meterline.bootstrap import stop_on_signals

    if (api is None) != (token_file is None) or (api is not None and unit is None):
        fail("--api, --token-file and --unit go together", code=2)
    if api is None and meters is None:
        fail("--meters says what the channel is for; with --api the centre knows it", code=2)
    stop, began = stop_on_signals(), datetime.now(UTC)
    settings = ProbeSettings(
        host, port, gateway, _read(password_file), None if ca_file is None else str(ca_file), count, every, wait,
        load_bytes=load,
    )  # fmt: skip
    try:
        found = measure_channel(settings, stop.is_set)
    except ProbeError as error:
        fail(str(error))
    if stop.is_set():
        fail("stopped before it was measured")
    traffic = None if meters is None else Traffic(meters, blocks, interval)
    if api is None or token_file is None:
        measured, limits = summarise(found.delays_s, found.bytes_per_s), Limits()
        assert traffic is not None  # noqa: S101  # asked for above
        result = _result(gateway, began, measured, traffic, limits)
        result["shortfalls"] = [str(each) for each in shortfalls(measured, traffic, limits)]
    else:
        from meterline.centre import Centre, CentreError

        with Centre(api, _read(token_file), ca_file) as centre:
            try:
                measured = summarise(found.delays_s, found.bytes_per_s, centre.clock_offset())
                result = _file(centre, str(unit), gateway, began, measured, traffic)
            except CentreError as error:
                print_json(
                    {"gateway": gateway, "measured_at": began, **asdict(summarise(found.delays_s, found.bytes_per_s))}
                )
                fail(f"measured, and not filed: {error}")
    _tell(result, as_json)


def _file(
    centre: Centre, unit: str, gateway: str, began: datetime, measured: Measured, traffic: Traffic | None
) -> dict[str, Any]:
    said = None if traffic is None else asdict(traffic)
    told = {"unit": unit, "gateway": gateway, "measured_at": began.isoformat(), **asdict(measured), "traffic": said}
    return centre.post("channels", told)


def _result(gateway: str, began: datetime, measured: Measured, traffic: Traffic, limits: Limits) -> dict[str, Any]:
    from grid.channel import bytes_per_s_needed

    needed = {**asdict(limits), "bytes_per_s": bytes_per_s_needed(traffic, limits)}
    return {"gateway": gateway, "measured_at": began, **asdict(measured), **asdict(traffic), "needed": needed}


def _read(file: Path) -> str:
    from meterline.settings.section import read_secret

    return read_secret(file).strip()


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        needed = result["needed"]
        print(f"{printable(result['gateway'])}: {result['returned']} of {result['sent']} came back")
        if result["delay_s"] is not None:
            print(f"round trip: {result['delay_s']:.3f} s, 95 % within {result['delay_high_s']:.3f} s "
                  f"(needed {needed['delay_s']:g} s)")  # fmt: skip
            print(f"jitter: {result['jitter_s']:.4f} s (needed {needed['jitter_s']:g} s)")
        if result["bytes_per_s"] is not None:
            print(f"throughput: {result['bytes_per_s']:,.0f} bytes/s (needed {needed['bytes_per_s']:,.0f})")
        if result["clock_offset_s"] is not None:
            off, error = result["clock_offset_s"], result["clock_error_s"]
            print(f"clock: {off:+.3f} s, ± {error:.3f} s (needed {needed['clock_s']:g} s)")
    if result["shortfalls"]:
        fail(f"the channel falls short in: {', '.join(result['shortfalls'])}")
