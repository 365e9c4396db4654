"""The XML of a network model: what is taken, and that everything else is refused with its place."""

import re
from pathlib import Path

import pytest

from sync.sources.cim import rdf
from sync.sources.cim.rdf import CimError, read_model
from tests.cim_file import CIM, RDF

HEAD = f'<rdf:RDF xmlns:cim="{CIM}" xmlns:rdf="{RDF}">'


def model(folder: Path, text: str) -> rdf.Model:
    path = folder / "model.xml"
    path.write_text(text, encoding="utf-8")
    return read_model(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(CimError) as caught:
        model(folder, text)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["gbk", "big5", "nothing", "utf-7", "utf-32"])
def test_an_encoding_that_the_parser_lacks_is_refused(tmp_path: Path, encoding: str) -> None:
    said = refused(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?>\n{HEAD}<cim:X rdf:ID="x"/></rdf:RDF>')
    assert "encoding" in said


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 30))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE r [<!ENTITY a0 "ha">{LAUGHS}]>',
        '<!DOCTYPE r [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/r.dtd">',
        "<!DOCTYPE r>",
    ],
    ids=["billion laughs", "external entity", "external subset", "empty"],
)
def test_a_document_type_declaration_is_refused_before_anything_of_it_is_used(tmp_path: Path, doctype: str) -> None:
    text = (
        f'<?xml version="1.0"?>\n{doctype}\n{HEAD}<cim:X rdf:ID="x"><cim:X.y>&a29;&secret;</cim:X.y></cim:X></rdf:RDF>'
    )
    assert re.match(r"line 2, column \d+: a document type declaration isn't taken", refused(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1: not well-formed XML: no element found"),
        ("voltage,current\n1,2\n", "line 1, column 1: not well-formed XML: syntax error"),
        (f'{HEAD}\n<cim:X rdf:ID="x">\n<cim:X.a>1</cim:', "line 3, column 11: not well-formed XML: unclosed token"),
        (f'{HEAD}\n<cim:X rdf:ID="x"></cim:Y></rdf:RDF>', "line 2, column 21: not well-formed XML: mismatched tag"),
        (f"{HEAD}\n<cim:X rdf:ID='x'><cim:X.a>&b;</cim:X.a></cim:X></rdf:RDF>", "line 2, column 28: not well-formed"),
        (f"<cim:RDF xmlns:cim='{CIM}'/>", "line 1, column 1: not RDF/XML: the root element is RDF"),
        (f"{HEAD}\n\n  <cim:X/></rdf:RDF>", "line 3, column 3: not an object with a class and rdf:ID or rdf:about: X"),
        (f'{HEAD}\n<rdf:Description rdf:about="#x"/></rdf:RDF>', "line 2, column 1: not an object with a class"),
        (
            f'{HEAD}\n<cim:X rdf:ID="x"><cim:X.y><cim:Y/></cim:X.y></cim:X></rdf:RDF>',
            "line 2, column 28: an element with",
        ),
        (
            f'{HEAD}\n<cim:X rdf:ID="x"><cim:X.y rdf:parseType="Literal"/></cim:X></rdf:RDF>',
            "line 2, column 19: rdf:parse",
        ),
        (f'{HEAD}\n<cim:X rdf:ID="x">loose</cim:X></rdf:RDF>', "a text outside any value: 'loose'"),
        (
            f'{HEAD}\n<cim:X rdf:ID="x"><cim:X.y rdf:resource="#x">z</cim:X.y></cim:X></rdf:RDF>',
            "a text outside any value",
        ),
        (
            f'{HEAD}<cim:X rdf:ID="_x"/>\n<cim:Y rdf:about="#_x"/></rdf:RDF>',
            "line 2, column 1: Y has the identity of X",
        ),
        (f'{HEAD}<X xmlns="urn:other" rdf:ID="x"/></rdf:RDF>', "no object of CIM"),
        (f"{HEAD}</rdf:RDF>", "no object of CIM"),
    ],
)
def test_what_is_not_such_a_file_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdf, "MAX_TEXT", 10)
    text = f'{HEAD}<cim:X rdf:ID="x"><cim:X.y>{{}}</cim:X.y></cim:X></rdf:RDF>'
    assert model(tmp_path, text.format("0123456789")).items["x"].text("X.y") == "0123456789"
    assert "more than 10 characters" in refused(tmp_path, text.format("01234567890"))
    monkeypatch.setattr(rdf, "MAX_BYTES", 1 << 20)
    assert refused(tmp_path, HEAD + " " * (1 << 20)) == "the file is larger than 1 MiB"


def test_an_identity_has_several_spellings(tmp_path: Path) -> None:
    found = model(
        tmp_path,
        f"""{HEAD}
        <cim:A rdf:ID="_1"><cim:A.b rdf:resource="#_2"/></cim:A>
        <cim:B rdf:about="#_2"><cim:B.c rdf:resource="urn:uuid:3"/></cim:B>
        <cim:C rdf:about="urn:uuid:3"><cim:C.a rdf:resource="#_1"/></cim:C>
        </rdf:RDF>""",
    )
    a, b, c = (next(found.of(kind)) for kind in "ABC")
    assert found.follow(a, "A.b") is b
    assert found.follow(b, "B.c") is c
    assert found.follow(c, "C.a") is a
    assert found.children("A", "A.b") == {"2": [a]}


def test_namespaces_of_other_releases_are_known_and_those_of_others_kept_apart(tmp_path: Path) -> None:
    text = (
        f'<rdf:RDF xmlns:cim="http://iec.ch/TC57/2013/CIM-schema-cim16#" xmlns:rdf="{RDF}" xmlns:e="http://e.eu/1#">'
        '<cim:Breaker rdf:ID="a"><cim:X.y rdf:resource="http://iec.ch/TC57/2013/CIM-schema-cim16#PhaseCode.AN"/>'
        '<e:X.y rdf:resource="http://e.eu/1#PhaseCode.BN"/></cim:Breaker><e:Breaker rdf:ID="b"/></rdf:RDF>'
    )
    found = model(tmp_path, text)
    (breaker,) = found.of("Breaker")
    assert breaker.choice("X.y") == "AN"
    assert found.items["b"].kind == "http://e.eu/1# Breaker"


def test_values_are_checked_and_errors_name_the_object(tmp_path: Path) -> None:
    item = model(
        tmp_path,
        f"""{HEAD}
        <cim:A rdf:ID="_7"><cim:IdentifiedObject.name>main</cim:IdentifiedObject.name>
        <cim:A.x>1,5</cim:A.x><cim:A.inf>INF</cim:A.inf><cim:A.e>5E9</cim:A.e><cim:A.neg>-1</cim:A.neg>
        <cim:A.t> True </cim:A.t><cim:A.u>maybe</cim:A.u><cim:A.two>1</cim:A.two><cim:A.two>2</cim:A.two>
        </cim:A></rdf:RDF>""",
    ).items["7"]
    assert item.number("A.e") == 5e9
    assert item.flag("A.t") is True
    assert item.number("A.none") is None
    assert item.flag("A.none") is None
    for ask, name, said in (
        (item.number, "A.x", "A.x is no number up to 1e+15: '1,5'"),
        (item.number, "A.inf", "A.inf is no number"),
        (item.needed, "A.none", "A.none is missing"),
        (item.positive, "A.neg", "A.neg is -1, which must be above 0"),
        (item.flag, "A.u", "A.u is neither true nor false"),
        (item.text, "A.two", "A.two is given twice"),
    ):
        with pytest.raises(CimError, match=r"^A 'main' \(mRID 7, line 2\): ") as caught:
            ask(name)
        assert said in str(caught.value)
