from __future__ import annotations

import pyarrow as pa
import pytest

from grid import block, unit_energy
from grid.arrow import InvalidBlockError, write_record

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
