"""A block of a form that was written before is written as Arrow writes it, byte for byte."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from grid import block as blocks
from grid.block import Block, decode_block, encode_block
from grid.block_forms import Forms
from grid.channels import CHANNELS


@st.composite
def two_of_a_form(draw: st.DrawFn) -> list[Block]:
    size = draw(st.integers(0, 40))
    lengths = draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
    names = draw(
        st.lists(st.sampled_from(["import_wh", "export_wh", "voltage_a_dv", "power_factor_permille"]), unique=True)
    )
    seed = draw(st.integers(0, 1_000))
    several = draw(st.booleans())
    random = np.random.default_rng(seed)
    made = []
    for n in range(2):
        codes = [draw(st.text("abé", min_size=length, max_size=length)) for length in lengths]
        # A part of a longer array has its codes further on in the buffers.
        meters = pa.array(["before", *codes])[1:] if draw(st.booleans()) else pa.array(codes, pa.string())
        made.append(
            Block(
                unit=f"A{n}",
                gateway="g",
                observed_at_us=1_795_262_400_000_000 + n,
                interval_s=900,
                received_at_us=1_795_262_401_000_000 + n,
                meters=meters,
                sequence=np.arange(size) + n if several else np.full(size, 7 + n),
                channels={
                    name: random.integers(-100, 100, size).astype(np.int64 if CHANNELS[name].wide else np.int16)
                    for name in names
                },
                quality=random.integers(0, 3, size).astype(np.uint8),
            )
        )
    return made


@given(two_of_a_form())
def test_writes_what_arrow_writes(made: list[Block]) -> None:
    first, second = made
    blocks._FORMS = Forms()
    by_arrow = encode_block(second)
    blocks._FORMS = Forms()
    encode_block(first)
    assert encode_block(second) == by_arrow
    assert encode_block(second) == by_arrow  # by the form now, if it wasn't the first's
    back = decode_block(by_arrow)
    assert back.meters.to_pylist() == second.meters.to_pylist()
    assert {name: values.tolist() for name, values in back.channels.items()} == {
        name: values.tolist() for name, values in second.channels.items()
    }


def test_a_known_form_is_used() -> None:
    forms = Forms()
    meters, columns = pa.array(["a", "b"]), {"quality": np.zeros(2, np.uint8)}
    assert forms.record(b"text", meters, columns) is None
    block = Block("A1", "g", 0, 900, 0, meters, np.zeros(2, np.int64), {}, columns["quality"])
    blocks._FORMS = forms
    data = encode_block(block)
    text = b"A1\ng\n0\n900\n0\n0"
    assert forms.record(text, meters, columns) == data
    assert forms.record(text, pa.array(["a", "bb"]), columns) is None
    assert forms.record(text, meters, {"quality": np.zeros(2, np.int64)}) is None
