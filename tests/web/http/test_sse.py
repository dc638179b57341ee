from __future__ import annotations

from robyn_server.web.http.sse import frame


def test_a_frame_has_event_data_id_in_that_order_with_crlf() -> None:
    assert frame("values", {"n": 1}, "17-0") == b'event: values\r\ndata: {"n":1}\r\nid: 17-0\r\n\r\n'


def test_a_frame_without_id_has_none() -> None:
    assert frame("end", None) == b"event: end\r\ndata: null\r\n\r\n"


def test_json_text_passes_through_and_each_of_its_lines_is_data() -> None:
    assert frame("x", b'{"a": 1}') == b'event: x\r\ndata: {"a": 1}\r\n\r\n'
    assert frame("x", b'{\n"a": 1}') == b'event: x\r\ndata: {\r\ndata: "a": 1}\r\n\r\n'


def test_no_field_can_smuggle_a_line() -> None:
    assert frame("a\r\nid: 9", 1, "x\ny") == b"event: a  id: 9\r\ndata: 1\r\nid: x y\r\n\r\n"
