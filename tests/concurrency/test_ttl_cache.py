"""Answers that may be seconds old."""

from __future__ import annotations

import asyncio

import pytest

from robyn_server.concurrency.ttl_cache import TtlCache


class Asked:
    """Records requests, and holds the answers back until a gate opens."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 0.0
        self.value = 1

    async def __call__(self, key: str) -> int:
        self.keys.append(key)
        value = self.value
        await self.gate.wait()
        if key == "bad":
            raise ValueError(key)
        return value


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def remembered(asked: Asked) -> TtlCache[str, int]:
    return TtlCache(asked, seconds=5, max_size=3, clock=lambda: asked.now)


async def test_a_key_is_asked_for_once_in_its_time(asked: Asked, remembered: TtlCache[str, int]) -> None:
    assert await asyncio.gather(*(remembered.get("a") for _ in range(10))) == [1] * 10
    asked.now = 4.9
    await remembered.get("a")
    assert asked.keys == ["a"]
    asked.now = 5
    await remembered.get("a")
    assert asked.keys == ["a", "a"]


async def test_only_so_many_are_remembered_and_the_oldest_goes(asked: Asked, remembered: TtlCache[str, int]) -> None:
    for key in ("a", "b", "c", "a", "d"):
        await remembered.get(key)
    assert len(remembered) == 3
    await remembered.get("a")
    assert asked.keys == ["a", "b", "c", "d"]
    await remembered.get("b")
    assert asked.keys[-1] == "b"


async def test_a_failure_is_told_to_all_who_wait_and_not_remembered(
    asked: Asked, remembered: TtlCache[str, int]
) -> None:
    results = await asyncio.gather(*(remembered.get("bad") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    assert asked.keys == ["bad"] and not len(remembered)
    with pytest.raises(ValueError):
        await remembered.get("bad")
    assert asked.keys == ["bad", "bad"]


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_what_was_read_before_it_was_forgotten_is_not_remembered(
    asked: Asked, remembered: TtlCache[str, int], all_of_them: bool
) -> None:
    asked.gate.clear()
    early = asyncio.create_task(remembered.get("a"))
    while not asked.keys:
        await asyncio.sleep(0)
    asked.value = 2
    if all_of_them:
        remembered.invalidate_all()
    else:
        remembered.invalidate("a")
    late = asyncio.create_task(remembered.get("a"))
    asked.gate.set()
    assert (await early, await late) == (1, 2)
    assert await remembered.get("a") == 2
    assert len(asked.keys) == 2


async def test_a_caller_that_leaves_leaves_the_answer_to_the_others(
    asked: Asked, remembered: TtlCache[str, int]
) -> None:
    asked.gate.clear()
    leaver = asyncio.create_task(remembered.get("a"))
    while not asked.keys:
        await asyncio.sleep(0)
    stayer = asyncio.create_task(remembered.get("a"))
    leaver.cancel()
    asked.gate.set()
    assert await stayer == 1
