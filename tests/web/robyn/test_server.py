"""The edge on the real Robyn, over real sockets."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from servers.web_process import WebProcess, start_web_process, until, web_process

pytestmark = pytest.mark.server


async def test_path_and_query_are_percent_decoded_and_repeated_parameters_are_kept(client: httpx.AsyncClient) -> None:
    response = await client.get("/echo/a%2Fb%20c%2525?q=1&q=a+b%F0%9F%98%80&q=%2B")
    assert response.json()["name"] == "a/b c%25"
    assert response.json()["query"]["q"] == ["1", "a b😀", "+"]


async def test_big_integers_and_the_order_of_keys_survive(client: httpx.AsyncClient) -> None:
    text = b'{"z":9007199254740993,"a":18446744073709551615,"m":{"y":1,"b":-9223372036854775808},"u":"\xc3\xa9"}'
    response = await client.post("/json", content=text)
    assert response.content == text


async def test_a_body_that_is_not_utf8_is_invalid_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/json", content=b"\xff\xfe")
    assert response.status_code == 422
    assert response.json()["detail"] == "Invalid JSON in request body"


async def test_head_answers_like_get_without_a_body(server: WebProcess, client: httpx.AsyncClient) -> None:
    response = await client.head("/hello")
    assert (response.status_code, response.headers["content-length"]) == (200, "17")
    raw = await server.send_raw(b"HEAD /hello HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    assert raw.endswith(b"\r\n\r\n")


async def test_head_of_a_stream_starts_no_producer(server: WebProcess, client: httpx.AsyncClient) -> None:
    before = len((await server.state())["ends"])
    response = await client.head("/count/5")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert len((await server.state())["ends"]) == before


async def test_a_wrong_method_is_405_with_the_allowed_ones(client: httpx.AsyncClient) -> None:
    response = await client.put("/hello")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "TRACE"])
async def test_an_unknown_path_is_404_for_every_method(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/no/such/path")
    assert response.status_code == 404
    assert response.json()["detail"] == "Not Found"


async def test_a_trailing_slash_changes_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/hello/")).json() == {"hello": "world"}


async def test_options_names_the_methods(client: httpx.AsyncClient) -> None:
    response = await client.options("/page")
    assert (response.status_code, response.headers["allow"], response.content) == (204, "POST, OPTIONS", b"")


async def test_a_listed_origin_may_call_and_another_may_not(client: httpx.AsyncClient) -> None:
    granted = await client.get("/hello", headers={"origin": "https://chat.example"})
    assert granted.headers["access-control-allow-origin"] == "https://chat.example"
    assert "x-pagination-total" in granted.headers["access-control-expose-headers"]
    refused = await client.get("/hello", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


async def test_a_preflight_is_answered(client: httpx.AsyncClient) -> None:
    response = await client.options(
        "/page",
        headers={
            "origin": "https://chat.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,x-api-key",
        },
    )
    assert response.status_code == 200
    assert response.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert response.headers["access-control-allow-headers"] == "content-type,x-api-key"
    assert response.headers["access-control-allow-origin"] == "https://chat.example"


async def test_a_ten_megabyte_body_is_413_and_names_the_setting(client: httpx.AsyncClient) -> None:
    response = await client.post("/json", content=b'"' + b"x" * 10_000_000 + b'"')
    assert response.status_code == 413
    assert "AGENTHALL_MAX_BODY_BYTES" in response.json()["detail"]


async def test_a_large_body_without_a_length_is_413_too(client: httpx.AsyncClient) -> None:
    async def chunks():
        for _ in range(100):
            yield b"x" * 65_536

    assert (await client.post("/json", content=chunks())).status_code == 413


async def test_a_truncated_body_is_400(server: WebProcess) -> None:
    raw = await server.send_raw(
        b'POST /json HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100000\r\nconnection: close\r\n\r\n"ab'
    )
    assert raw.startswith(b"HTTP/1.1 400")
    assert b"3 of 100000 bytes" in raw


async def test_a_multipart_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/json", files={"file": b"content"})
    assert response.status_code == 400
    assert "multipart" in response.json()["detail"]


async def test_a_request_id_is_echoed_or_made(client: httpx.AsyncClient) -> None:
    assert (await client.get("/hello", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = (await client.get("/hello", headers={"x-request-id": "a b" * 100})).headers["x-request-id"]
    assert len(made) == 36


async def test_a_bug_is_500_and_tells_nothing(server: WebProcess, client: httpx.AsyncClient) -> None:
    response = await client.get("/broken", headers={"x-request-id": "bug-1"})
    assert response.status_code == 500
    assert "secret" not in response.text
    entry = await until(lambda: server.find_log("request.failed"))
    assert entry["request_id"] == "bug-1"
    assert "a secret detail" in entry["exception"]


async def test_an_event_stream_is_framed_as_the_reference_server_frames_it(client: httpx.AsyncClient) -> None:
    response = await client.get("/count/2")
    assert response.content == (
        b'event: count\r\ndata: {"n":0}\r\nid: 0\r\n\r\nevent: count\r\ndata: {"n":1}\r\nid: 1\r\n\r\n'
    )
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-run"] == "1"
    assert response.headers.get_list("cache-control") == ["no-cache, no-store, must-revalidate"]
    assert response.headers.get_list("x-accel-buffering") == ["no"]


async def test_a_long_stream_arrives_whole_and_in_order(client: httpx.AsyncClient) -> None:
    text = (await client.get("/count/5000")).text
    numbers = [json.loads(line[6:])["n"] for line in text.splitlines() if line.startswith("data:")]
    assert numbers == list(range(5000))


async def test_a_silent_event_stream_has_heartbeats(server: WebProcess) -> None:
    stream = await server.open_stream("/idle")
    await stream.read_until(b"event: first")
    await stream.read_until(b": heartbeat\r\n\r\n")
    await stream.read_until(b": heartbeat\r\n\r\n")
    stream.close()


async def test_a_waited_for_body_has_newlines_before_its_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/wait?seconds=1")
    assert response.content.startswith(b"\n")
    assert response.json() == {"waited": True}
    assert response.headers["content-type"] == "application/json"


async def test_a_producer_that_fails_ends_its_stream_and_is_logged(
    server: WebProcess, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/failing")).text.startswith("event: first")
    assert "in the producer" in (await until(lambda: server.find_log("stream.failed")))["exception"]


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_disconnect_runs_the_producers_finally_on_the_loop(server: WebProcess, way: str) -> None:
    """Three streams hold a pool of three. Robyn's own async generators would keep it empty for good."""
    for _ in range(2):
        before = (await server.state())["ends"].count("client_gone")
        streams = [await server.open_stream("/idle?pooled=1") for _ in range(3)]
        for stream in streams:
            await stream.read_until(b"event: first")
            getattr(stream, way)()
        await until(lambda before=before: _gone(server, before + 3))


async def _gone(server: WebProcess, count: int) -> bool:
    return (await server.state())["ends"].count("client_gone") >= count


async def test_three_hundred_idle_streams_all_get_their_first_event_and_a_heartbeat(server: WebProcess) -> None:
    streams = await asyncio.gather(*(server.open_stream("/idle") for _ in range(300)))
    await asyncio.gather(*(stream.read_until(b"event: first") for stream in streams))
    await asyncio.gather(*(stream.read_until(b": heartbeat") for stream in streams))
    for stream in streams:
        stream.close()


async def test_one_stream_too_many_is_503_and_a_closed_one_makes_room() -> None:
    async with web_process(AGENTHALL_MAX_STREAMS="3") as served:
        await served.ready()
        streams = [await served.open_stream("/idle") for _ in range(3)]
        refused = await served.open_stream("/idle")
        assert refused.head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused.head
        streams[0].close()
        await until(lambda: _accepted(served))


async def test_a_reader_that_does_not_read_is_ended() -> None:
    async with web_process(SAMPLE_STALL_SECONDS="0.5") as served:
        await served.ready()
        stream = await served.open_stream("/flood")
        await until(lambda: served.find_log("stream.slow_reader"))
        await until(lambda: _ended_slow(served))
        stream.reset()


async def _ended_slow(served: WebProcess) -> bool:
    return bool((await served.state())["ends"] == ["slow_reader"])


async def _accepted(served: WebProcess) -> bool:
    stream = await served.open_stream("/idle")
    stream.close()
    return stream.head.startswith(b"HTTP/1.1 200")


async def test_a_malformed_chunk_kills_this_process_and_no_other() -> None:
    """An upstream bug (sparckles/Robyn, issue 1425): one panic aborts the process.

    It is why a supervisor stands above.
    """
    async with web_process() as poisoned, web_process() as other:
        await poisoned.ready()
        await other.ready()
        with pytest.raises(OSError):  # noqa: PT012 - either the write or the read fails
            answer = await poisoned.send_raw(
                b"POST /x HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n"
            )
            raise ConnectionResetError(answer)
        assert await poisoned.wait_for_exit() == -6
        assert (await other.state())["ends"] == []


async def test_a_busy_port_is_a_clear_message_and_exit_code_2(server: WebProcess) -> None:
    second = await start_web_process(AGENTHALL_PORT=str(server.port))
    assert await second.wait_for_exit() == 2
    assert "is taken by another program" in second.find_log("web.misconfigured")["problem"]


async def test_two_processes_share_a_port_when_told_to() -> None:
    async with web_process(SAMPLE_SHARE_PORT="1") as first:
        await first.ready()
        async with web_process(SAMPLE_SHARE_PORT="1", AGENTHALL_PORT=str(first.port)) as second:
            await second.ready()
            second.signal()
            assert await second.wait_for_exit() == 0
        assert (await first.state())["ends"] == []


async def test_the_command_line_is_ours() -> None:
    async with web_process("--help", "--workers", "zzz", "--log-level", "x") as served:
        await served.ready()
        assert "ready argv=['--help', '--workers', 'zzz', '--log-level', 'x']" in served.lines


async def test_logs_stay_structured_beside_robyn(server: WebProcess) -> None:
    await server.state()
    await until(lambda: server.find_log("request"))
    for line in server.lines:
        assert line.startswith(("{", "ready")), line


async def test_each_log_line_of_a_request_names_it_among_many_at_once(
    server: WebProcess, client: httpx.AsyncClient
) -> None:
    names = [f"n{number}" for number in range(100)]
    await asyncio.gather(*(client.get(f"/logs/{name}", headers={"x-request-id": f"id-of-{name}"}) for name in names))

    def logged() -> list[dict[str, str]]:
        found = [json.loads(line) for line in server.lines if '"id-of-n' in line]
        return [line for line in found if line["event"] != "request"]

    lines = await until(lambda: found if len(found := logged()) == 2 * len(names) else None)
    ours = {line["name"]: line["request_id"] for line in lines if line["event"] == "before"}
    theirs = {line["event"].removeprefix("after "): line["request_id"] for line in lines if line["event"] != "before"}
    assert ours == theirs == {name: f"id-of-{name}" for name in names}


async def test_a_line_after_a_request_does_not_name_it(server: WebProcess, client: httpx.AsyncClient) -> None:
    await client.get("/hello", headers={"x-request-id": "one-that-ended"})
    await client.get("/logs/later", headers={"x-request-id": "another"})
    await until(lambda: [line for line in server.lines if "after later" in line])
    assert not [line for line in server.lines if "one-that-ended" in line and "later" in line]
