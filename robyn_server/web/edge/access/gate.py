"""Admits requests where a project has handlers: authenticates the user, asks about the route's events, and makes the
principal."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from robyn_server.core.access.grants import Conditions, Grants
from robyn_server.core.access.principal import ADMIN, Principal
from robyn_server.core.access.users import SHARED_STORE, User, run_auth
from robyn_server.core.errors import Forbidden, Unauthenticated
from robyn_server.identity.handlers.authentication import UserAuthentication
from robyn_server.identity.handlers.authorization import UserAuthorization
from robyn_server.identity.handlers.calls import HandlerCalls, failed
from robyn_server.identity.handlers.loading import Handlers
from robyn_server.web.http.messages import Request
from robyn_server.web.http.routing import Route
from robyn_server.web.schemas.runs import RunBatch

from .authentication import acting_for
from .events import Event, RunEvent, Subject
from .named_assistants import NamesAssistants, with_ids
from .table import events_of, is_governed

_log = structlog.get_logger(__name__)

ADMIN_PERMISSION = "agenthall:admin"
"""The permission of a user that makes it an administrator of the server. Handlers decide about rows nevertheless."""


class Admitted(NamedTuple):
    """A request with its principal, and its body as the handlers left it."""

    request: Request
    body: Any


class AccessGate:
    """Call `start` before use and `stop` after."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._calls = HandlerCalls()
        self._authentication = UserAuthentication(handlers, self._calls)
        self._authorization = UserAuthorization(handlers, self._calls)

    def start(self) -> None:
        self._calls.start()
        _log.info("the project's handlers decide about access", rules=self._handlers.names)

    async def stop(self) -> None:
        await self._calls.stop()

    @staticmethod
    def governs(route: Route) -> bool:
        return is_governed(route)

    async def authenticate(self, request: Request) -> User:
        """Raises what the handler raises. See `HandlerCalls.call`."""
        return await self._authentication.authenticate(request)

    async def admit(
        self, user: User, route: Route, request: Request, body: Any, assistants: NamesAssistants
    ) -> Admitted:
        """Raises Forbidden, Invalid (a name that means no assistant), and what the handlers raise."""
        events = events_of(route)
        if events is None:
            raise Forbidden("The project's handlers cannot decide about this route.", code="route_not_authorized")
        subject, grants = Subject(*await with_ids(request, body, assistants)), Grants()
        for index in range(len(body.root)) if isinstance(body, RunBatch) else [None]:
            subject = replace(subject, index=index)
            for event in events:
                if event.when(subject):
                    subject, conditions = await self._ask(user, event, subject)
                    grants = _granted(grants, event, conditions)
        principal = acting_for(self._principal(user, events, grants), request.headers)
        return Admitted(replace(subject.request, principal=principal), subject.body)

    async def authorize_again(self, route: Route, request: Request, assistants: NamesAssistants) -> Principal:
        """The principal that may read the stream of an earlier `request` now.

        The creator of a run keeps its grants, because a second `create_run` would count as another run. Raises as
        `authenticate` and `admit` do, and Unauthenticated for another user.
        """
        user = await self.authenticate(request)
        if any(isinstance(event, RunEvent) for event in events_of(route) or ()):
            if user.identity != request.principal.identity:
                raise Unauthenticated("The credentials are those of another user.", code="user_changed")
            return request.principal
        return (await self.admit(user, route, request, None, assistants)).request.principal

    async def _ask(self, user: User, event: Event, subject: Subject) -> tuple[Subject, Conditions]:
        handler = self._handlers.find(event.resource, event.action)
        if handler is None:
            return subject, await self._authorization.authorize(user, event.resource, event.action, {})
        value = event.value(subject)
        before = copy.deepcopy(value)
        conditions = await self._authorization.authorize(user, event.resource, event.action, value)
        try:
            return event.apply(subject, before, value), event.conditions(conditions)
        except ValueError as error:
            raise failed(handler, error) from None

    def _principal(self, user: User, events: Sequence[Event], grants: Grants) -> Principal:
        permissions = frozenset({ADMIN} if ADMIN_PERMISSION in user.permissions else ())
        if any(event.resource == "store" for event in events):
            return Principal(self._store_owner(user, events), permissions=permissions)
        creates_run = any(isinstance(event, RunEvent) for event in events)
        auth = self._run_auth(user) if creates_run else None
        return Principal(user.identity, permissions=permissions, grants=grants, auth=auth)

    def _store_owner(self, user: User, events: Sequence[Event]) -> str:
        """The owner of the items that a request reaches. Raises Forbidden for an action that nobody restricts."""
        if not self._authorization.decides_any("store"):
            return user.identity
        if not all(self._authorization.decides(event.resource, event.action) for event in events):
            raise Forbidden(
                "The project's handlers divide the store, and none decides about this action.", code="handler_missing"
            )
        return SHARED_STORE

    def _run_auth(self, user: User) -> str:
        try:
            return run_auth(user, shares_store=self._authorization.decides_any("store"))
        except TypeError as error:
            raise failed(self._handlers.authenticate, error) from None


def _granted(grants: Grants, event: Event, conditions: Conditions) -> Grants:
    return grants if event.resource == "store" else grants.narrowed(event.granted, conditions)
