from __future__ import annotations

import itertools
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from grid import block, block_layout, unit_energy
from grid.arrow import InvalidBlockError, Names, write_record

HEADER = {b"block": b"A1\ng\n900000000\n900\n1\n1"}
PLAIN = block._schema(("meter", "quality", "import_wh", "voltage_a_dv"))
ONE = [pa.array(["m"]), *(pa.array([1], field.type) for field in list(PLAIN)[1:])]
NULLS = [pa.array(["m"]), *(pa.array([None], field.type) for field in list(PLAIN)[1:])]
TWICE = pa.schema([*PLAIN, PLAIN.field(3)])


def test_a_whole_record_is_read() -> None:
    assert block.decode_block(write_record(PLAIN.with_metadata(HEADER), ONE)).unit == "A1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 50,
        write_record(PLAIN, ONE),
        write_record(PLAIN.with_metadata({b"block": b"A1\ng"}), ONE),
        write_record(PLAIN.with_metadata({b"block": b"A1\ng\nnever\n900\n1\n1"}), ONE),
        write_record(PLAIN.with_metadata({b"block": b"\xff"}), ONE),
        write_record(PLAIN.with_metadata(HEADER), NULLS),
        write_record(PLAIN.with_metadata({b"block": b"A1\ng\n900000000\n900\n1\n-1"}), ONE),
        write_record(TWICE.with_metadata(HEADER), [*ONE, ONE[3]]),
        write_record(pa.schema([("other", pa.int64())]).with_metadata(HEADER), [pa.array([1])]),
    ],
    ids=[
        "nothing",
        "noise",
        "no header",
        "short header",
        "no number",
        "no text",
        "nulls",
        "negative sequence",
        "a column twice",
        "other columns",
    ],
)
def test_what_is_no_block_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(InvalidBlockError, match=r"."):
        block.decode_block(data)


def test_nulls_are_no_energies() -> None:
    schema = unit_energy._PLAIN.with_metadata({b"parents": b"1 F1"})
    with pytest.raises(InvalidBlockError):
        unit_energy.decode_unit_energies(write_record(schema, [pa.array([None], field.type) for field in schema]))


def test_what_looks_like_a_record_before_is_read_as_arrow_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    with_sequence = block._schema(("meter", "quality", "sequence", "import_wh", "voltage_a_dv"))
    records = []
    for text, meters, schema in itertools.product(
        (b"A1\ng\n900000000\n900\n1\n1", b"B7\ng\n800000001\n900\n2\n9", b"AREA1\ng\n900000000\n900\n1\n1"),
        (["m1", "m2", "m3"], ["n1", "n2", "n3"], ["m1", "m22", ""], ["m1"]),
        (PLAIN, with_sequence),
    ):
        columns = [pa.array(rng.integers(0, 99, len(meters)), field.type) for field in list(schema)[1:]]
        records.append(write_record(schema.with_metadata({b"block": text}), [pa.array(meters), *columns]))
    layouts = block_layout.Layouts()
    for _ in range(2):
        for data in records:
            monkeypatch.setattr(block, "_LAYOUTS", block_layout.Layouts())
            wanted = block.decode_block(data)
            monkeypatch.setattr(block, "_LAYOUTS", layouts)
            found = block.decode_block(data)
            assert plain(found) == plain(wanted)
    assert all(layouts.of(data) for data in records)
    # Another text of the same length, and a record that is cut short.
    assert block.decode_block(records[0].replace(b"A1\ng\n9", b"Z9\nh\n7")).unit == "Z9"
    with pytest.raises(InvalidBlockError):
        block.decode_block(records[0].replace(b"A1\ng\n9", b"Z9\nh\nx"))
    with pytest.raises(InvalidBlockError):
        block.decode_block(records[0].replace(b"A1\ng\n9", b"\xff\xff\ng\n9"))
    assert layouts.of(records[0][:-8]) is None


def plain(found: block.Block) -> dict[str, object]:
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    channels = {name: (values.dtype, values.tolist()) for name, values in found.channels.items()}
    arrays = {
        "sequence": found.sequence.tolist(),
        "quality": found.quality.tolist(),
        "meters": found.meters.to_pylist(),
    }
    return {**values, **arrays, "channels": channels}


def test_names_are_a_sequence_of_text_whatever_they_are_compared_with() -> None:
    codes = ["M-1", "M-2", "表-3"]
    names = Names(pa.array(codes, pa.string()))
    assert list(names) == codes
    assert names == tuple(codes)
    assert hash(names) == hash(tuple(codes))
    assert names[-1] == "表-3"
    assert names[:2] == ["M-1", "M-2"]
    assert names != "M-1"
    assert len(Names(pa.array([], pa.string()))) == 0
    with pytest.raises(IndexError):
        names[3]
