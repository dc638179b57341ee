"""Ask the handlers of a project whether a user may do something, and for which rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robyn_server.core.access.grants import Condition, Conditions, parse_filter
from robyn_server.core.access.users import User
from robyn_server.core.errors import Forbidden

from .calls import HandlerCalls, failed
from .loading import ACTIONS, Handlers


class UserAuthorization:
    def __init__(self, handlers: Handlers, calls: HandlerCalls) -> None:
        self._handlers = handlers
        self._calls = calls

    def decides(self, resource: str, action: str) -> bool:
        """Whether a handler decides about the action."""
        return self._handlers.find(resource, action) is not None

    def decides_any(self, resource: str) -> bool:
        """Whether a handler decides about any action of the resource."""
        return any(self.decides(resource, action) for action in ACTIONS[resource])

    async def authorize(self, user: User, resource: str, action: str, value: dict[str, Any]) -> Conditions:
        """Return the conditions of the rows that the action may reach. The handler may change `value`.

        Without a handler, these are the user's own rows. Raises Forbidden, and as `HandlerCalls.call` does.
        """
        handler = self._handlers.find(resource, action)
        if handler is None:
            return (Condition(own=user.identity),)
        context = _context(user, resource, action)
        result = await self._calls.call(handler, ctx=context, value=value)
        if result is None or result is True:
            return ()
        if result is False:
            raise Forbidden("Forbidden", code="handler_denied")
        try:
            return _conditions(resource, result)
        except (TypeError, ValueError) as error:
            raise failed(handler, error) from None


def _conditions(resource: str, result: Any) -> Conditions:
    """Raises TypeError and ValueError for a result that is no decision."""
    if not isinstance(result, Mapping):
        raise TypeError(f"the handler returned {type(result).__name__}; return None, True, False or a filter")
    if not result:
        return ()
    if resource == "store":
        raise ValueError("items of the store have no metadata to filter by; change value['namespace'] instead")
    return (parse_filter(result),)


def _context(user: User, resource: str, action: str) -> Any:
    from langgraph_sdk.auth.types import AuthContext

    return AuthContext(permissions=user.permissions, user=user, resource=resource, action=action)  # type: ignore[arg-type]
