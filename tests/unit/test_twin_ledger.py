from __future__ import annotations

from pathlib import Path

import pytest

from twin.ledger import ACKED, PUBLISHED, LedgerWriter, read_ledger

OBSERVED = 1_782_000_000_000_000


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path / "ledger", ["A", "B"]) as ledger:
        assert ledger.published(0, 900, OBSERVED, OBSERVED + 5, 18, 1_234, 0) == 0
        assert ledger.published(1, 60, OBSERVED, OBSERVED + 6, 1, 7, 2**40) == 1
        ledger.acked(1, OBSERVED + 9)
    read = read_ledger(tmp_path / "ledger")
    assert read.units == ("A", "B")
    assert read.published["unit"].tolist() == [0, 1]
    assert read.published["published_at_us"].tolist() == [OBSERVED + 5, OBSERVED + 6]
    assert read.acked["message"].tolist() == [1]
    (acknowledged,) = read.acknowledged.tolist()
    assert acknowledged == (1, 60, OBSERVED, OBSERVED + 6, 1, 0, 7, 2**40)


def test_the_records_have_the_agreed_size() -> None:
    assert PUBLISHED.itemsize == 48
    assert ACKED.itemsize == 16


def test_a_later_run_continues_after_a_broken_record(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path, ["A"]) as ledger:
        ledger.published(0, 900, 1, 2, 3, 4, 5)
    with (tmp_path / "published.bin").open("ab") as file:
        file.write(b"torn")
    assert len(read_ledger(tmp_path).published) == 1
    with LedgerWriter(tmp_path, ["A"]) as ledger:
        assert ledger.published(0, 900, 2, 3, 4, 5, 6) == 1
    assert read_ledger(tmp_path).published["observed_at_us"].tolist() == [1, 2]


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path, ["A"]) as ledger:
        ledger.published(0, 900, 1, 2, 3, 4, 5)
        ledger.flush(force=True)
        assert len(read_ledger(tmp_path).published) == 1


def test_a_ledger_of_other_units_is_not_continued(tmp_path: Path) -> None:
    LedgerWriter(tmp_path, ["A"]).close()
    with pytest.raises(ValueError, match="other units"):
        LedgerWriter(tmp_path, ["B"])
