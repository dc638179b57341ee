"""Every parameter of every method of the official SDK works, or is refused by name.

`sdk_parameters.py` has the tables.
"""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError

from .sdk_parameters import CLIENTS, METHODS, Made, Method, NotOffered, value_for

WORKING = [
    (name, each) for name, method in METHODS.items() if isinstance(method, Method) for each in (None, *method.works)
]
REFUSED = [(name, each) for name, method in METHODS.items() if isinstance(method, Method) for each in method.refused]
REFUSED_METHODS = [name for name, method in METHODS.items() if isinstance(method, NotOffered)]


def sdk_methods() -> dict[str, set[str]]:
    """The parameters of each method of the SDK."""
    return {
        f"{client}.{name}": set(inspect.signature(method).parameters) - {"self"}
        for client, kind in CLIENTS.items()
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.fixture(scope="module")
async def made(client: LangGraphClient) -> Made:
    assistant = await client.assistants.create("road")
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "road", input={"note": "a"}, stream_resumable=True)
    await client.runs.join(thread, run["run_id"])
    checkpoint: Any = (await client.threads.get_history(thread))[1]["checkpoint"]
    return Made(client, assistant["assistant_id"], thread, run["run_id"], checkpoint)


async def call(made: Made, name: str, arguments: dict[str, Any]) -> Any:
    """Call the method, and read a stream to its end."""
    client, _, method = name.partition(".")
    function = getattr(getattr(made.client, client), method)
    kinds = {each.name: each.kind for each in inspect.signature(function).parameters.values()}
    first = [value for key, value in arguments.items() if kinds[key] is inspect.Parameter.POSITIONAL_ONLY]
    rest = {key: value for key, value in arguments.items() if kinds[key] is not inspect.Parameter.POSITIONAL_ONLY}
    answer = function(*first, **rest)
    if inspect.isawaitable(answer):
        answer = await answer
    if name == "threads.stream":
        async with answer as thread:
            return await thread.run.start(input={"note": "a"})
    if name == "threads.join_stream":
        return await anext(aiter(answer))  # it has no end
    return [part async for part in answer] if hasattr(answer, "__aiter__") else answer


async def refusal(made: Made, name: str, arguments: dict[str, Any]) -> tuple[int, str, str | None]:
    """Call the method, and return the status, the code and the field of its error."""
    with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as refused:
        await call(made, name, arguments)
    body = refused.value.response.json()
    return refused.value.response.status_code, body["code"], body.get("field")


def test_every_method_of_the_sdk_is_listed() -> None:
    assert set(METHODS) == sdk_methods().keys()


@pytest.mark.parametrize("name", METHODS)
async def test_every_parameter_of_the_sdk_is_listed(made: Made, name: str) -> None:
    method = METHODS[name]
    base = (await method.base(made)).keys()
    listed = method.parameters if isinstance(method, NotOffered) else (*method.works, *method.refused)
    assert {*base, *listed} == sdk_methods()[name]


@pytest.mark.parametrize(("name", "parameter"), WORKING)
async def test_a_parameter_works(made: Made, name: str, parameter: str | None) -> None:
    method = METHODS[name]
    assert isinstance(method, Method)
    arguments = await method.base(made)
    if parameter is not None:
        arguments |= arguments_for(made, name, parameter, value_for(method.works[parameter], made))
    parts = await call(made, name, arguments)
    if isinstance(parts, list) and name.startswith("runs.") and parts and hasattr(parts[0], "event"):
        assert "error" not in [part.event for part in parts]


def arguments_for(made: Made, name: str, parameter: str, value: Any) -> dict[str, Any]:
    """The parameter, and what makes sense with it."""
    if parameter in {"checkpoint", "checkpoint_id"} and name.startswith("runs."):
        return {"thread_id": made.thread_id, "input": None, parameter: value}
    if parameter == "supersteps":
        return {"graph_id": "road", parameter: value}
    if (name, parameter) == ("runs.cancel_many", "status"):
        return {"thread_id": None, "run_ids": None, parameter: value}
    return {parameter: value}


@pytest.mark.parametrize(("name", "parameter"), REFUSED)
async def test_a_parameter_is_refused_by_name(made: Made, name: str, parameter: str) -> None:
    method = METHODS[name]
    assert isinstance(method, Method)
    value, field = method.refused[parameter]
    arguments = await method.base(made) | {parameter: value}
    assert await refusal(made, name, arguments) == (422, "not_offered", field)


@pytest.mark.parametrize("name", REFUSED_METHODS)
async def test_an_operation_is_refused(made: Made, name: str) -> None:
    status, code, _ = await refusal(made, name, await METHODS[name].base(made))
    assert (status, code) == (405, "not_offered")
