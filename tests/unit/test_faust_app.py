"""A message is handed on at once, or waited for as Faust would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.faust_app import FirstStepAtOnce


class Waiting(FirstStepAtOnce):
    """A service that does nothing else."""


def run(make: Callable[[Waiting], Awaitable[None]]) -> None:
    async def with_service() -> None:
        service = Waiting()
        await service.start()
        try:
            await asyncio.wait_for(make(service), 5)
        finally:
            await service.stop()

    asyncio.run(with_service())


def test_what_needs_no_wait_is_done_without_a_task() -> None:
    async def check(service: Waiting) -> None:
        tasks: set[object] = set()

        async def hand_on() -> str:
            tasks.add(asyncio.current_task())
            return "done"

        found = await service.wait_first(hand_on(), asyncio.Event().wait())
        assert found.results == ["done"]
        assert not found.stopped
        assert tasks == {asyncio.current_task()}

    run(check)


def test_what_has_to_wait_is_waited_for_to_its_end() -> None:
    async def check(service: Waiting) -> None:
        room = asyncio.Event()
        steps: list[str] = []

        async def hand_on() -> str:
            steps.append("began")
            await room.wait()
            await asyncio.sleep(0)
            steps.append("ended")
            return "done"

        asyncio.get_running_loop().call_later(0.05, room.set)
        found = await service.wait_first(hand_on(), asyncio.Event().wait())
        assert found.results == ["done"]
        assert steps == ["began", "ended"]

    run(check)


def test_a_flow_that_is_suspended_ends_the_wait_and_what_waits() -> None:
    async def check(service: Waiting) -> None:
        suspended = asyncio.Event()
        steps: list[str] = []

        async def hand_on() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("ended")

        asyncio.get_running_loop().call_later(0.05, suspended.set)
        found = await service.wait_first(hand_on(), suspended.wait())
        assert found.results == [True]
        await asyncio.sleep(0.05)
        assert steps == ["ended"]

    run(check)


def test_what_fails_at_once_or_later_is_raised() -> None:
    async def check(service: Waiting) -> None:
        async def fail(after_s: float | None) -> None:
            if after_s is not None:
                await asyncio.sleep(after_s)
            raise LookupError

        for after_s in (None, 0.01):
            with pytest.raises(LookupError):
                await service.wait_first(fail(after_s), asyncio.Event().wait())

    run(check)
