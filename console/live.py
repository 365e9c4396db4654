"""Asks for a board's panels again and again, once for all who look at the same, and tells them what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from console.asking import Answer, Asker, AskError
from console.payload import Shown, event, payload
from console.window import Range, Window, span_before, span_of
from deploy.boards.model import Annotation, Board, Panel, Source, Variable

log = structlog.get_logger("meterline.console")

#: After so long without news a line of comment keeps proxies from closing the connection.
_QUIET_S = 15.0
#: How often a range that doesn't end at the present is asked for.
_PAST_S = 60.0


class BusyError(RuntimeError):
    """More is being looked at than the console serves at once."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """How much is served at once.

    Parameters
    ----------
    viewers
        Open live pages.
    watches
        Boards with different choices or ranges that are asked for at the same time.
    longest_d
        Longest range of time in days.
    refresh_s
        A board isn't asked for more often, whatever it says itself.
    """

    viewers: int = 200
    watches: int = 50
    longest_d: int = 400
    refresh_s: float = 2.0

    @property
    def longest(self) -> timedelta:
        return timedelta(days=self.longest_d)


@dataclass(frozen=True, slots=True)
class Question:
    """A board, what was chosen of its variables, and the range."""

    uid: str
    values: tuple[tuple[str, str], ...]
    range: Range


@dataclass(slots=True)
class Counters:
    """What the console has done so far."""

    questions: int = 0
    failures: int = 0
    seconds: float = 0.0
    rounds: int = 0
    events: int = 0


class Hub:
    """The live side of the console. All of it runs in one event loop; statements run in threads.

    Parameters
    ----------
    boards
        By uid.
    askers
        By whose eyes a board is for; a board whose source is missing isn't served.
    limits
        How much is served at once.
    clock
        Tells the time, aware.
    """

    def __init__(
        self,
        boards: Mapping[str, Board],
        askers: Mapping[Source, Asker],
        limits: LiveLimits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.boards = {uid: board for uid, board in boards.items() if board.source in askers}
        self.limits = limits
        self.counters = Counters()
        self.clock = clock
        self._askers = askers
        threads = max((asker.limits.connections for asker in askers.values()), default=1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ask")
        self._watches: dict[Question, _Watch] = {}
        self._choices: dict[tuple[Variable, tuple[tuple[str, str], ...]], tuple[float, Answer]] = {}
        self._is_open = True

    @property
    def viewers(self) -> int:
        """Open live pages."""
        return sum(len(watch.viewers) for watch in self._watches.values())

    @property
    def watches(self) -> int:
        """Boards with different choices or ranges that are being asked for."""
        return len(self._watches)

    async def follow(self, question: Question) -> AsyncGenerator[bytes]:
        """Server-sent events of a board: each panel as it is now, and again whenever it changes.

        Raises
        ------
        BusyError
            When too much is looked at already, or the console is closing.
        """
        viewer = self._enter(question)
        watch = self._watches[question]
        try:
            while self._is_open:
                for each in viewer.take():
                    self.counters.events += 1
                    yield each
                if viewer.is_ended:
                    return
                try:
                    await asyncio.wait_for(viewer.wake.wait(), _QUIET_S)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            watch.viewers.discard(viewer)

    def check(self, question: Question) -> None:
        """Raise BusyError when `question` can't be followed now."""
        if not self._is_open:
            raise BusyError("the console is closing")
        if self.viewers >= self.limits.viewers:
            raise BusyError(f"{self.limits.viewers} pages are open already; try again later")
        if question not in self._watches and self.watches >= self.limits.watches:
            raise BusyError(f"{self.limits.watches} boards and choices are shown already; try again later")

    def _enter(self, question: Question) -> _Viewer:
        self.check(question)
        watch = self._watches.get(question)
        if watch is None:
            watch = self._watches[question] = _Watch(self, self.boards[question.uid], question)
        viewer = _Viewer(dict(watch.latest))
        watch.viewers.add(viewer)
        if watch.task is None:
            watch.task = asyncio.create_task(watch.run())
            watch.task.add_done_callback(lambda done: self._ended(question, done))
        return viewer

    def _ended(self, question: Question, task: asyncio.Task[None]) -> None:
        watch = self._watches.pop(question)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a board's refresh ended", board=question.uid, exc_info=error)
        for viewer in watch.viewers:
            # The page opens a new connection, and with it a new watch.
            viewer.end()

    async def choices(self, board: Board, variable: Variable, chosen: Mapping[str, str], window: Window) -> Answer:
        """What `variable` may be; asked again after a refresh interval at the earliest.

        Raises
        ------
        AskError
            As `Asker.ask` does.
        """
        needed = tuple(sorted((name, chosen[name]) for name in variable.needs))
        key = (variable, needed)
        kept = self._choices.get(key)
        if kept is not None and time.monotonic() - kept[0] < self.refresh_s(board):
            return kept[1]
        answer = await self.ask(board.source, variable.sql, window, chosen)
        if len(self._choices) >= 4 * self.limits.watches:
            self._choices.clear()
        self._choices[key] = (time.monotonic(), answer)
        return answer

    async def ask(self, source: Source, sql: str, window: Window, values: Mapping[str, str]) -> Answer:
        """Ask in a thread; raises AskError as `Asker.ask` does."""
        self.counters.questions += 1
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        try:
            return await loop.run_in_executor(self._threads, self._askers[source].ask, sql, window, values)
        except AskError:
            self.counters.failures += 1
            raise
        finally:
            self.counters.seconds += time.monotonic() - started

    def refresh_s(self, board: Board) -> float:
        """How often `board` is asked for."""
        return max(self.limits.refresh_s, span_of(board.refresh).total_seconds())

    def is_ready(self) -> bool:
        """Whether the database answers."""
        return all(asker.is_there() for asker in self._askers.values())

    def end_streams(self) -> None:
        """End all live connections; from within the event loop."""
        self._is_open = False
        for watch in self._watches.values():
            for viewer in watch.viewers:
                viewer.end()

    async def close(self) -> None:
        """End all connections and rounds."""
        self.end_streams()
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True, eq=False)
class _Viewer:
    """What a page hasn't been sent yet: of each panel the newest only, so that a slow reader holds no queue."""

    pending: dict[str, bytes]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_ended: bool = False

    def __post_init__(self) -> None:
        if self.pending:
            self.wake.set()

    def put(self, key: str, content: bytes) -> None:
        self.pending[key] = content
        self.wake.set()

    def take(self) -> list[bytes]:
        taken = list(self.pending.values())
        self.pending.clear()
        self.wake.clear()
        return taken

    def end(self) -> None:
        self.is_ended = True
        self.wake.set()


class _Watch:
    """One board with one choice of variables and range."""

    def __init__(self, hub: Hub, board: Board, question: Question) -> None:
        self.viewers: set[_Viewer] = set()
        self.latest: dict[str, bytes] = {}
        self.task: asyncio.Task[None] | None = None
        self._hub = hub
        self._board = board
        self._question = question
        self._values = dict(question.values)

    async def run(self) -> None:
        """Ask for everything, tell the viewers, wait, and again; until nobody looks any more."""
        # The past changes only when something is restated.
        refresh_s = self._hub.refresh_s(self._board) if self._question.range.moves else _PAST_S
        while self.viewers:
            started = time.monotonic()
            now = self._hub.clock()
            window = self._question.range.at(now, self._hub.limits.longest)
            panels = (self._panel(place.panel, window, now) for place in self._board.places)
            marks = (self._marks(each, window) for each in self._board.annotations)
            await asyncio.gather(*panels, *marks)
            self._hub.counters.rounds += 1
            took_s = time.monotonic() - started
            self._tell("round", event("round", {"at_s": now.timestamp(), "took_s": round(took_s, 3)}))
            # A round that is slow is followed by as long a rest, so that boards never take all of the database.
            await asyncio.sleep(max(refresh_s - took_s, min(took_s, refresh_s)))

    async def _panel(self, panel: Panel, window: Window, now: datetime) -> None:
        if panel.span is not None:
            window = span_before(panel.span, now)
        source = self._board.source
        try:
            answer = await self._hub.ask(source, panel.sql, window, self._values)
            edges = None if panel.edges is None else await self._hub.ask(source, panel.edges, window, self._values)
        except AskError as error:
            self._tell(panel.key, event("trouble", {"panel": panel.key, "message": str(error)}))
            return
        shown = Shown(answer, edges, window.since.timestamp(), window.until.timestamp(), window.step.total_seconds())
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(None, _encode, panel, shown)
        self._tell(panel.key, content)

    async def _marks(self, annotation: Annotation, window: Window) -> None:
        try:
            answer = await self._hub.ask(self._board.source, annotation.sql, window, self._values)
        except AskError as error:
            log.warning("annotations are missing", board=self._board.uid, annotation=annotation.key, error=str(error))
            return
        at = {name: place for place, name in enumerate(answer.columns)}
        marks = [
            {
                "time_s": _seconds(row[at["time"]]),
                "end_s": _seconds(row[at["timeend"]]),
                "text": str(row[at["text"]]),
            }
            for row in answer.rows
        ]
        self._tell(f"@{annotation.key}", event("marks", {"key": annotation.key, "marks": marks}))

    def _tell(self, key: str, content: bytes) -> None:
        if self.latest.get(key) == content:
            return
        self.latest[key] = content
        for viewer in self.viewers:
            viewer.put(key, content)


def _encode(panel: Panel, shown: Shown) -> bytes:
    return event("panel", payload(panel, shown))


def _seconds(value: Any) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else None
