"""The boards in another language. Definitions are in English; a catalogue maps each text of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import assert_never

from deploy.boards.chinese import CHINESE
from deploy.boards.chinese_descriptions import DESCRIPTIONS
from deploy.boards.model import Annotation, Board, Column, Link, Panel, Place, Variable, Word


class Language(StrEnum):
    """A language that boards are drawn in, by its code in BCP 47."""

    ENGLISH = "en"
    CHINESE = "zh"


def translate(text: str, language: Language) -> str:
    """Return `text` in `language`; as it is where the catalogue lacks it."""
    match language:
        case Language.ENGLISH:
            return text
        case Language.CHINESE:
            return CHINESE.get(text, text)
        case _:
            assert_never(language)


def in_language(board: Board, language: Language) -> Board:
    """Return `board` with its texts in `language`: uids and keys stay, and so does SQL but for the texts in it."""
    if language is Language.ENGLISH:
        return board

    def say(text: str) -> str:
        return translate(text, language)

    def describe(key: str, text: str) -> str:
        return DESCRIPTIONS.get(key, text)

    def link(each: Link) -> Link:
        return replace(each, title=say(each.title))

    def word(each: Word) -> Word:
        return replace(each, text=say(each.text))

    def column(each: Column) -> Column:
        return replace(
            each,
            title=say(each.title),
            words=tuple(map(word, each.words)),
            link=None if each.link is None else link(each.link),
        )

    def panel(each: Panel) -> Panel:
        return replace(
            each,
            title=say(each.title),
            description=describe(each.key, each.description),
            nothing=say(each.nothing),
            columns=tuple(map(column, each.columns)),
            links=tuple(map(link, each.links)),
        )

    def place(each: Place) -> Place:
        return replace(each, panel=panel(each.panel))

    def variable(each: Variable) -> Variable:
        sql = each.sql
        for text in each.says:
            sql = sql.replace(f"'{text}'", f"'{say(text)}'")
        return replace(each, title=say(each.title), sql=sql, says=tuple(map(say, each.says)))

    def annotation(each: Annotation) -> Annotation:
        return replace(each, title=say(each.title))

    return replace(
        board,
        title=say(board.title),
        description=describe(board.uid, board.description),
        places=tuple(map(place, board.places)),
        variables=tuple(map(variable, board.variables)),
        annotations=tuple(map(annotation, board.annotations)),
        links=tuple(map(link, board.links)),
    )


def texts(board: Board) -> Iterator[str]:
    """Every text of `board` that is shown to a reader and isn't data, but for descriptions."""
    yield board.title
    for variable in board.variables:
        yield from (variable.title, *variable.says)
    yield from (each.title for each in board.annotations)
    yield from (each.title for each in board.links)
    for panel in (place.panel for place in board.places):
        yield from (panel.title, panel.nothing)
        yield from (each.title for each in panel.links)
        for column in panel.columns:
            yield column.title
            yield from (each.text for each in column.words)
            if column.link is not None:
                yield column.link.title
