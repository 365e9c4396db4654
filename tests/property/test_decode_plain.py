"""Usual messages that are read without an object for each value come to the same as any message does."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.checks import RefusedError, parse
from ingest.decode import _channels, _check_lengths, _decoder
from ingest.decode_plain import FRACTIONS, MeterLists, read_plain

ODD = [
    *("01", "-0", "-0.0", "-", "1.", ".5", "1e3", "1.5E-2", "nul", "nulll", "true", "NaN", "Infinity", '"1"', "[1]"),
    *("-1", "0.05", "1.0", "229.95", "2999.95", "3000.0", "3000.0000001", "300.0", "-1.0", "1.005", "[]", "{}"),
    *("123456789012345", "1234567890123456", "12345678901234567", "1000000000000000", "999999999", "1000000001"),
]
WHOLE = st.integers(-5, 2_000).map(str)
FRACTION = st.floats(-2, 3_100, allow_nan=False).map(lambda value: repr(round(value, 3)))
TOKENS = st.one_of(WHOLE, FRACTION, st.just("null"), st.sampled_from(ODD))
METERS = st.one_of(st.sampled_from(["m1", "m2", "é", '"', "\\", "", "x" * 64, "x" * 65]), st.text(max_size=5))
COMMAS = st.sampled_from([",", ", ", " ,\n", "\t,\r", ",\x0b", ",,", ", ,"])


def written(values: list[str], comma: str, ending: str) -> str:
    return "[" + comma.join(values) + ending


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    size = draw(st.integers(1, 5))
    comma = draw(st.one_of(st.just(", "), COMMAS))
    ending = draw(st.sampled_from(["]", "]", "]", " ]", "", "]]", ",]"]))
    meters = draw(st.lists(METERS, min_size=size, max_size=size, unique=draw(st.booleans())))
    fields = {"sequence": "7", "observed_at": '"2026-11-21T12:00:00Z"', "interval_s": "900"}
    fields["meter"] = draw(st.sampled_from([json.dumps(meters), json.dumps(meters, ensure_ascii=False)]))
    whole = st.one_of(WHOLE, st.just("null"))
    for name in draw(st.sets(st.sampled_from(["import_wh", "export_wh", "register_import_wh"]))):
        tokens = draw(st.sampled_from([whole, TOKENS]))
        fields[name] = written(draw(st.lists(tokens, min_size=size, max_size=size)), comma, "]")
    for name in draw(st.sets(st.sampled_from([*FRACTIONS]), max_size=2)):
        many = draw(st.sampled_from([size, size, size, size + 1, size - 1]))
        fields[name] = written(draw(st.lists(TOKENS, min_size=many, max_size=many)), comma, ending)
    if draw(st.integers(0, 20)) == 0:
        fields["unknown"] = "1"
    members = [f'"{name}":{text}' for name, text in fields.items()]
    if draw(st.integers(0, 5)) == 0:
        # Said twice, perhaps with a letter escaped: the second stands, and the first is judged too.
        name = draw(st.sampled_from(["meter", *fields]))
        again = draw(st.sampled_from([name, f"\\u{ord(name[0]):04x}{name[1:]}"]))
        text = draw(st.sampled_from(['["x"]', "[1]", "1", '"x"', fields[name]]))
        members.insert(draw(st.integers(0, len(members))), f'"{again}":{text}')
    return ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")


@settings(deadline=None)  # the first compiles
@given(payloads())
def test_what_is_read_plainly_is_what_any_message_comes_to(payload: bytes) -> None:
    plain = read_plain(payload)
    try:
        message = parse(_decoder, payload)
        _check_lengths(message)
    except RefusedError:
        assert plain is None
        return
    channels, bad = _channels(message)
    if plain is None:
        return
    assert not bad
    assert plain.meters.to_pylist() == message.meter
    assert (plain.message.sequence, plain.message.observed_at) == (message.sequence, message.observed_at)
    assert {name: (values.dtype, values.tolist()) for name, values in plain.channels.items()} == {
        name: (values.dtype, values.tolist()) for name, values in channels.items()
    }


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 10_000)), min_size=1, max_size=6),
    st.lists(st.one_of(st.none(), st.integers(0, 30_000)), min_size=6, max_size=6),
)
def test_usual_messages_are_read_plainly(energies: list[int | None], tenths: list[int | None]) -> None:
    voltages = [None if v is None else v / 10 for v in tenths[: len(energies)]]
    fields = {"meter": [f"m{n}" for n in range(len(energies))], "import_wh": energies, "voltage_a_v": voltages}
    about = {"sequence": 1, "observed_at": "2026-11-21T12:00:00+08:00", "interval_s": 900}
    for separators in ((", ", ": "), (",", ":")):
        assert read_plain(json.dumps({**fields, **about}, separators=separators).encode()) is not None


def test_a_column_that_is_said_twice_is_left_to_the_general_way() -> None:
    about = '{"sequence":1,"observed_at":"2026-11-21T12:00:00Z","interval_s":900,'
    assert read_plain((about + '"meter":["m"],"import_wh":[1]}').encode()) is not None
    for twice in (
        '"meter":["m"],"import_wh":["x"],"import_wh":[1]}',
        '"meter":["m"],"import_w\\u0068":["x"],"import_wh":[1]}',
        '"meter":[7],"meter":["m"],"import_wh":[1]}',
        '"mete\\u0072":["\\\\"],"meter":["m"],"import_wh":[1]}',
    ):
        assert read_plain((about + twice).encode()) is None


def test_lists_of_meters_are_kept_within_bounds() -> None:
    lists = MeterLists(limit=100)
    texts = [json.dumps([f"meter-{n}", "other"]).encode() for n in range(50)]
    for text in texts:
        codes = lists.read(text)
        assert codes is not None
        assert codes is lists.read(text)
    assert 0 < lists.held_bytes <= 100
    assert lists.read(b'["twice", "twice"]') is None
