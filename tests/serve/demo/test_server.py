"""The interface of the page: what it answers, and that nothing wrong brings it down."""

import contextlib
import io
import itertools
import json
import socket
import time
from http.client import HTTPConnection
from threading import Thread
from threading import enumerate as enumerate_threads

import numpy as np
import pytest

from metarec_jax.serve.demo import connections
from metarec_jax.serve.demo.connections import bind
from metarec_jax.serve.demo.server import BODY, choices


@pytest.fixture
def call(demo):
    """(method, path, body, host) -> status, headers, JSON or text; in this process."""

    def asked(method: str, path: str, body: bytes = b"", host: str = "127.0.0.1:8000", **more: str):
        path, _, query = path.partition("?")
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host}
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO()}
        environ |= {"wsgi.url_scheme": "http", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000"} | more
        told = []
        parts = demo(environ, lambda status, headers, *_: told.extend([int(status[:3]), dict(headers)]))
        text = b"".join(parts).decode()
        return *told, json.loads(text) if told[1]["Content-Type"] == "application/json" else text

    return asked


def rated(call, *pairs):
    status, _, found = call("POST", "/api/recommend", json.dumps({"ratings": pairs}).encode())
    assert status == 200
    return found


def test_nothing_known(call, recommender):
    found, answer = rated(call), recommender([], [])
    assert found["rated"] == [] and len(found["recommended"]) == 5
    assert [one["prediction"] for one in found["recommended"]] == pytest.approx(
        answer.prediction[answer.top].tolist(), abs=1e-4
    )
    assert all(one["why"] == "" and one["influence"] == [] and one["spread"] > 0 for one in found["recommended"])
    assert len(found["next"]) == 24 and found["milliseconds"] > 0


def test_reasons_point_where_the_prediction_goes_without_the_rating(call, table):
    pairs = [["i2", 5], ["i3", 1], ["i4", 1]]
    found = rated(call, *pairs)
    assert [one["item"] for one in found["rated"]] == ["i2", "i3", "i4"]
    assert not {"i2", "i3", "i4"} & {one["item"] for one in found["recommended"] + found["next"]}
    best = found["recommended"][0]
    assert int(best["item"][1:]) % 2 == 0  # what those who like i2 and dislike i3 like
    assert best["influence"][0] > 0 > best["influence"][2]
    assert (
        best["why"].startswith("because you gave ")
        and ", although you gave Eleven Ángeles (1999) one star" in (best["why"])
    )
    for k, influence in enumerate(best["influence"]):
        fewer = rated(call, *[pair for place, pair in enumerate(pairs) if place != k])
        without = {one["item"]: one["prediction"] for one in fewer["recommended"]}
        if best["item"] in without:
            assert np.sign(best["prediction"] - without[best["item"]]) == np.sign(influence)
    before = {one["item"]: one["spread"] for one in rated(call)["recommended"]}
    assert all(one["spread"] < before.get(one["item"], np.inf) for one in found["recommended"])


def test_when_all_is_rated_nothing_is_left(call, table, recommender):
    everything = [[str(raw), 3] for raw in table.item_ids[:16]]
    found = rated(call, *everything)
    assert len(found["rated"]) == 16 and len(found["recommended"]) == 5
    assert len(found["next"]) == min(24, table.num_items - 16)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "is to read"),
        (b"{}", "is to read"),
        (b'{"ratings": {"i1": 5}}', "is to read"),
        (b'{"ratings": [["i1"]]}', "is to read"),
        (b'{"ratings": [["nothing", 5]]}', "no item 'nothing'"),
        (b'{"ratings": [[1, 5]]}', "no item 1"),
        (b'{"ratings": [[["i1"], 5]]}', "no item"),
        (b'{"ratings": [["\\ud800", 5]]}', "no item"),
        (b'{"ratings": [["i1", 6]]}', "6 is not a rating from 1 to 5"),
        (b'{"ratings": [["i1", 0.5]]}', "0.5 is not"),
        (b'{"ratings": [["i1", "5"]]}', "'5' is not"),
        (b'{"ratings": [["i1", true]]}', "True is not"),
        (b'{"ratings": [["i1", null]]}', "None is not"),
        (b'{"ratings": [["i1", NaN]]}', "nan is not"),
        (b'{"ratings": [["i1", Infinity]]}', "inf is not"),
        (b'{"ratings": [["i1", 1e999]]}', "inf is not"),
        (b'{"ratings": [["i1", %s]]}' % (b"9" * 400), "is not a rating"),
        (b'{"ratings": [["i1", 5], ["i2", 4], ["i1", 5]]}', "'i1' is rated twice"),
        (json.dumps({"ratings": [["i1", 5]] * 10_000}).encode(), "10000 ratings are too many; 16"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_request_is_told_what_is_wrong(call, body, message):
    status, headers, found = call("POST", "/api/recommend", body)
    assert status == 400 and headers["Content-Type"] == "application/json"
    assert list(found) == ["error"] and message in found["error"] and len(found["error"]) < 200
    assert len(rated(call, ["i1", 5])["recommended"]) == 5


@pytest.mark.parametrize(
    ("length", "status"), [("", 400), ("-1", 400), ("x", 400), (str(BODY + 1), 413), ("9" * 5000, 413)]
)
def test_the_length_of_a_body_is_looked_at_first(call, length, status):
    assert call("POST", "/api/recommend", b"{}", CONTENT_LENGTH=length)[0] == status


def test_other_requests(call):
    assert call("GET", "/nothing")[::2] == (404, {"error": "Not found: '/nothing'"})
    assert call("GET", "/server.py")[0] == call("GET", "/../server.py")[0] == 404
    assert call("GET", "/api/recommend")[0] == 405
    status, headers, page = call("GET", "/")
    assert status == 200 and headers["Content-Type"].startswith("text/html") and "page.js" in page
    assert "default-src 'self'" in headers["Content-Security-Policy"] and "<script>" not in page
    assert not any(header.startswith("Access-Control") for header in headers)
    for name, kind in (("page.css", "css"), ("page.js", "javascript"), ("parts.js", "javascript"), ("icon.svg", "svg")):
        status, headers, text = call("GET", f"/{name}")
        assert status == 200 and kind in headers["Content-Type"]
        assert "innerHTML" not in text and "https://" not in text


def test_search_and_about(call, table):
    _, _, found = call("GET", "/api/search?q=AMELIE%202001")
    assert [one["title"] for one in found["found"]] == ["Amélie (2001)"]
    _, _, found = call("GET", "/api/search?q=film")
    counts, films = [one["count"] for one in found["found"]], np.char.startswith(table.item_titles, "Film")
    assert counts == sorted(np.bincount(table.item)[films].tolist(), reverse=True)[:20]
    assert call("GET", "/api/search?q=%ff")[0] == 200
    about = call("GET", "/api/about")[2]
    assert about["scale"] == [1, 5] and about["choices"] == [1, 2, 3, 4, 5] and about["capacity"] == 16


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_other_hosts_are_sent_away(call, host):
    status, headers, found = call("GET", "/", host=host)
    assert status == 403 and "ask for" in found["error"] and "Content-Security-Policy" in headers


def test_this_host_has_two_names(call):
    assert call("GET", "/api/about", host="localhost:9")[0] == call("GET", "/api/about", host="127.0.0.1")[0] == 200


def test_choices_fit_on_a_page():
    assert choices(np.arange(1, 11) / 2) == [1, 2, 3, 4, 5]
    assert choices(np.arange(1.0, 11.0)) == list(range(1, 11))
    assert choices(np.linspace(-10, 10, 81)) == [-10, -5, 0, 5, 10]


@pytest.fixture
def listening(demo):
    """A server with this application."""
    with bind(0) as server:
        server.listen(demo)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_a_connection_that_says_nothing_keeps_nobody_waiting(listening):
    silent, talking = (HTTPConnection("127.0.0.1", listening.server_port, timeout=10) for _ in range(2))
    silent.connect()
    talking.request("GET", "/api/about")
    assert json.loads(talking.getresponse().read())["items"] == 30
    with pytest.raises(ValueError, match="choose another --port"):
        bind(listening.server_port)
    silent.close()


def test_nobody_listens_before_there_is_an_answer(demo):
    with bind(0) as server:
        address = ("127.0.0.1", server.server_port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        server.listen(demo)
        waiting = [socket.create_connection(address, 5) for _ in range(100)]  # nobody serves yet: they queue
        for connection in waiting:
            connection.close()


def test_who_begins_to_listen_first_has_the_port(demo):
    with bind(0) as first, bind(first.server_port) as second:
        first.listen(demo)
        with pytest.raises(ValueError, match=f"port {first.server_port} cannot be had .* choose another --port"):
            second.listen(demo)


def send(server, parts: list[bytes], pause: float) -> bytes:
    """What the server says to a request that comes in parts, with a pause after each."""
    with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
        reply, end = b"", time.monotonic() + 10
        for part in parts:
            with contextlib.suppress(OSError):  # it may have hung up
                connection.sendall(part)
            time.sleep(pause)
        while time.monotonic() < end:
            try:
                more = connection.recv(4096)
            except ConnectionResetError:  # what was sent later was not read
                break
            if not more:
                break
            reply += more
    return reply


HEAD = b"POST /api/recommend HTTP/1.0\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([HEAD], b"408"),  # a body that never comes
        ([HEAD, *[b"["] * 10], b"408"),  # one that comes byte by byte: each in time, all of it not
        ([HEAD[:10]], b""),  # half a head
        ([HEAD[:10], *[b"x"] * 10], b""),
        ([HEAD, b'{"ratings": []}'], b"200"),
    ],
    ids=["no body", "a slow body", "no head", "a slow head", "in time"],
)
def test_a_request_has_its_time_and_no_more(listening, monkeypatch, capfd, parts, status):
    monkeypatch.setattr(connections, "SECONDS", 0.3)
    begun = time.monotonic()
    head, _, body = send(listening, parts, 0.05).partition(b"\r\n\r\n")
    assert time.monotonic() - begun < 5
    assert head.partition(b" ")[2][:3] == status
    if status == b"408":
        assert b"application/json" in head and b"did not come within" in body
    assert capfd.readouterr().err == ""  # no traceback


def test_a_body_that_ends_early_is_said(listening):
    with socket.create_connection(("127.0.0.1", listening.server_port), 10) as connection:
        connection.sendall(HEAD + b"[]")
        connection.shutdown(socket.SHUT_WR)
        reply = connection.makefile("rb").read()
    assert b" 400 " in reply and b"ends after 2 of its 15 bytes" in reply


def test_who_takes_no_answer_is_left_without_a_word(monkeypatch, capfd):
    monkeypatch.setattr(connections, "SECONDS", 0.2)

    def much(environ, start_response):
        start_response("200 OK", [])
        return [bytes(1 << 25)]

    with bind(0) as server:
        server.listen(much)
        with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            server.handle_request()
            for thread in [each for each in enumerate_threads() if "process_request_thread" in each.name]:
                thread.join(5)
                assert not thread.is_alive()
    assert capfd.readouterr().err == ""
