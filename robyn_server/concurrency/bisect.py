"""Apply a batch, and isolate the items that make it fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import TypeVar

T = TypeVar("T")


async def bisect(
    batch: Sequence[T],
    apply: Callable[[Sequence[T]], Awaitable[None]],
    refuse: Callable[[Sequence[T], Exception], None],
    *,
    max_refusals: int,
    fatal: type[Exception] | tuple[type[Exception], ...] = (),
) -> bool:
    """Apply `batch`; halve a part that is refused until each refused item stands alone.

    `refuse` gets each item that is refused alone. After more than `max_refusals` refusals, or at a `fatal` error, it
    gets all items that were not applied yet. Returns whether something was applied and nothing was given up in that
    way.
    """
    parts, refusals, has_applied = [batch], 0, False
    while parts:
        part = parts.pop()
        try:
            await apply(part)
        except Exception as error:  # noqa: BLE001 - any error refuses the part
            refusals += 1
            if refusals > max_refusals or isinstance(error, fatal):
                refuse([*part, *chain.from_iterable(reversed(parts))], error)
                return False
            if len(part) == 1:
                refuse(part, error)
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
        else:
            has_applied = True
    return has_applied
