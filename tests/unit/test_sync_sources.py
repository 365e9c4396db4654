"""Source adapters: what they take, and what they refuse, with the place."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import openpyxl
import pytest

from sync.sources.cim.extract import read_cim
from sync.sources.contract import RawRecord, Refusal, SourceError
from sync.sources.csv_file import read_csv
from sync.sources.debezium.envelope import decode_envelope
from sync.sources.excel_file import read_excel
from sync.sources.geojson_file import read_geojson


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def records(found: Iterable[object]) -> list[RawRecord]:
    listed = list(found)
    whole = [each for each in listed if isinstance(each, RawRecord)]
    assert len(whole) == len(listed), listed
    return whole


def test_csv_gives_records_with_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "areas.csv", 'number,name\r\n7,"Two\nlines"\r\n8,\r\n')
    first, second = records(read_csv(path, "areas"))
    assert (first.key, first.body, first.line) == ("7", {"number": "7", "name": "Two\nlines"}, 2)
    assert (second.key, second.body["name"], second.line) == ("8", None, 4)


def test_csv_says_which_lines_are_broken_and_reads_on(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'k,v\n1,a\n2\n3,b,c\n,d\n4,"x"y\n5,e\n')
    found = list(read_csv(path, "a"))
    assert [each.key for each in found if isinstance(each, RawRecord)] == ["1", "5"]
    refused = [each for each in found if isinstance(each, Refusal)]
    assert [(each.line, each.column) for each in refused] == [(3, 2), (4, 3), (5, 1), (6, None)]
    assert "header has 2" in refused[0].reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no header"),
        (b"a,a\n1,2\n", "column 2"),
        (b"a,\n1,2\n", "column 2"),
        (b"a,b\n1,\xc3\xa9\n2,\xc3\xa9\xff\n", "line 3, column 4: not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 100_000 + b"\xc4", "line 100002, column 1: not UTF-8"),
    ],
)
def test_csv_that_can_not_be_taken_at_all(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        list(read_csv(path, "a"))


def feature(key: object, shape: object) -> dict[str, object]:
    return {"type": "Feature", "id": key, "geometry": shape, "properties": {"name": "x"}}


def test_geojson_gives_features_with_positions_and_lines(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [11.5, 53.5]}
    text = '{"type": "FeatureCollection", "features": [\n' + json.dumps(feature("T1", point)) + ",\n"
    text += json.dumps(feature(7, {"type": "LineString", "coordinates": [[1, 2], [3, 4]]})) + "\n]}"
    first, second = records(read_geojson(written(tmp_path / "t.geojson", text), "t"))
    assert (first.key, first.line, first.body) == ("T1", 2, {"name": "x", "geometry": [[11.5, 53.5]]})
    assert (second.key, second.line, second.body["geometry"]) == ("7", 3, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "Polygon", "coordinates": [[[0, 0]]]},
        {"type": "Point", "coordinates": [200, 0]},
        {"type": "Point", "coordinates": ["a", 0]},
        {"type": "LineString", "coordinates": []},
    ],
)
def test_geojson_refuses_a_feature_and_not_the_others(tmp_path: Path, shape: object) -> None:
    point = {"type": "Point", "coordinates": [0, 0]}
    whole = {"type": "FeatureCollection", "features": [feature("a", shape), feature("b", point)]}
    first, second = read_geojson(written(tmp_path / "t.geojson", json.dumps(whole)), "t")
    assert isinstance(first, Refusal)
    assert isinstance(second, RawRecord)


def test_broken_geojson_is_refused_with_line_and_column(tmp_path: Path) -> None:
    path = written(tmp_path / "t.geojson", '{"type": "FeatureCollection",\n "features": [}')
    with pytest.raises(SourceError, match="line 2, column 15"):
        list(read_geojson(path, "t"))
    path.write_bytes('{"features": [],\n "type": "é'.encode() + b'\xff"}')
    with pytest.raises(SourceError, match="line 2, column 12: not UTF-8"):
        list(read_geojson(path, "t"))


DEEP = "[" * 5_000 + "]" * 5_000


def test_lists_in_lists_are_refused_and_stop_nothing(tmp_path: Path) -> None:
    text = (
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "id": 1, "geometry": null, "properties": %s}]}'
    )
    path = written(tmp_path / "t.geojson", text % f'{{"x": {DEEP}}}')
    with pytest.raises(SourceError, match="lists in lists"):
        list(read_geojson(path, "t"))
    message = json.dumps(ENVELOPE).replace('"live": true', f'"live": {DEEP}')
    assert isinstance(decode_envelope(message.encode(), ["id"], 3), Refusal)


def test_cim_gives_each_object_under_its_class(tmp_path: Path) -> None:
    text = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#">\n'
        '<cim:Breaker rdf:ID="_b"><cim:IdentifiedObject.name>Q1</cim:IdentifiedObject.name>'
        '<cim:Equipment.EquipmentContainer rdf:resource="#_f"/></cim:Breaker></rdf:RDF>'
    )
    (record,) = records(read_cim(written(tmp_path / "n.xml", text)))
    assert (record.dataset, record.key, record.line) == ("Breaker", "b", 2)
    assert record.body == {"IdentifiedObject.name": "Q1", "Equipment.EquipmentContainer": "f"}
    with pytest.raises(SourceError, match="line 1, column"):
        list(read_cim(written(tmp_path / "m.xml", text[:100])))


def test_excel_gives_the_rows_of_each_sheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "areas"
    for row in (["number", "name", "kva"], [7, "North", 400.0], [None, "no key", 1], [8, None, 2.5, "beyond"]):
        book.active.append(row)
    book.create_sheet("lines").append(["k"])
    book.save(tmp_path / "b.xlsx")
    found = list(read_excel(tmp_path / "b.xlsx"))
    assert isinstance(found[0], RawRecord)
    assert (found[0].dataset, found[0].key) == ("areas", "7")
    assert found[0].body == {"number": "7", "name": "North", "kva": "400"}
    assert [(each.line, each.column) for each in found[1:] if isinstance(each, Refusal)] == [(3, 1), (4, 4)]
    with pytest.raises(SourceError, match="not an Excel workbook"):
        list(read_excel(written(tmp_path / "c.xlsx", "no archive")))


def test_excel_keeps_long_numbers_and_says_where_a_sheet_is_broken(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "meters"
    for row in (["number", "share"], [310_000_000_001.0, 0.1 + 0.2]):
        book.active.append(row)
    path = tmp_path / "b.xlsx"
    book.save(path)
    (record,) = records(read_excel(path))
    assert record.body == {"number": "310000000001", "share": "0.3"}
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content[: len(content) * 3 // 4] if name == sheet else content)
    with pytest.raises(SourceError, match="sheet meters: broken after row"):
        list(read_excel(path))


def test_a_workbook_of_which_any_part_is_broken_is_refused_in_one_line(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["number", "name"])
    book.active.append([7, "North"])
    path = tmp_path / "b.xlsx"
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    needed = {"xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml", "xl/_rels/workbook.xml.rels"}
    said: dict[str, list[str]] = {}
    for broken in needed:
        for spoilt in (parts[broken][:-40], parts[broken].replace(b"=", b"x=", 9), b"<\n>", b""):
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in parts.items():
                    archive.writestr(name, spoilt if name == broken else content)
            try:
                list(read_excel(path))
            except SourceError as error:
                said.setdefault(broken, []).append(str(error))
    assert said.keys() == needed
    assert not [text for texts in said.values() for text in texts if "\n" in text]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("xl/workbook.xml", parts["xl/workbook.xml"])
    path.write_bytes(path.read_bytes().replace(b"BZh9", b"BZh0"))
    with pytest.raises(SourceError, match="not an Excel workbook"):
        list(read_excel(path))


ENVELOPE = {
    "op": "u",
    "before": {"id": 7, "name": "old"},
    "after": {"id": 7, "name": "new", "live": True, "kva": 2.5},
    "source": {"table": "areas", "ts_ms": 1_700_000_000_000},
}


def test_an_envelope_is_a_record_with_or_without_its_schema() -> None:
    for message in (ENVELOPE, {"schema": {}, "payload": ENVELOPE}):
        record = decode_envelope(json.dumps(message).encode(), ["id"], 3)
        assert isinstance(record, RawRecord)
        assert (record.dataset, record.key, record.removed, record.line) == ("areas", "7", False, 3)
        assert record.body == {"id": "7", "name": "new", "live": "true", "kva": "2.5"}
        assert record.at_us == 1_700_000_000_000_000


def test_an_envelope_of_a_deletion_names_what_is_gone() -> None:
    record = decode_envelope(json.dumps(ENVELOPE | {"op": "d", "after": None}).encode(), ["id"], 0)
    assert isinstance(record, RawRecord)
    assert record.removed
    assert record.key == "7"
    assert decode_envelope(None, ["id"], 0) is None


def test_an_envelope_of_no_time_is_refused() -> None:
    message = ENVELOPE | {"source": {"table": "areas", "ts_ms": 1_700_000_000_000_000}}
    refused = decode_envelope(json.dumps(message).encode(), ["id"], 3)
    assert isinstance(refused, Refusal)
    assert "ts_ms" in refused.reason


@pytest.mark.parametrize(
    ("row", "table", "reason"),
    [
        ({"id": {"scale": 0, "value": "AQ=="}}, "areas", "the key isn't one value"),
        ({"id": [7]}, "areas", "the key isn't one value"),
        ({"id": 7}, "areas\0", "source.table: the key has control characters"),
        ({"id": 7}, "a" * 300, "source.table: the key has more than 200 characters"),
    ],
)
def test_an_envelope_whose_key_or_table_can_not_be_kept_is_refused(row: object, table: str, reason: str) -> None:
    message = ENVELOPE | {"after": row, "source": {"table": table}}
    refused = decode_envelope(json.dumps(message).encode(), ["id"], 3)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"op": "t", "source": {"table": "a"}}', b'{"op": "c", "source": {}}'])
def test_what_is_no_envelope_is_refused(value: bytes) -> None:
    assert isinstance(decode_envelope(value, ["id"], 5), Refusal)
