"""What is refused, and how: with a status that says it, in JSON, and the server goes on."""

from __future__ import annotations

import base64
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.serve.conftest import LIMIT, Served, picture

INFER = "/v2/models/pets/infer"


def infer(**entry: object) -> bytes:
    """Return an inference with one input."""
    return json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], **entry}]}).encode()


BAD = {
    "nothing": ("/", b"", {}, 400),
    "no image": ("/", b"hello", {}, 400),
    "half a picture": ("/", picture(1)[:300], {}, 400),
    "too many pixels": ("/", picture(1, (1001, 1000), "PNG")[:50_000], {}, 413),
    "a form": ("/", b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    "a packed body": ("/", b"x", {"Content-Encoding": "gzip"}, 415),
    "no JSON": ("/", b"{", {}, 400),
    "a list": ("/", b"[]", {"Content-Type": "application/json"}, 400),
    "no inputs": ("/", b"{}", {}, 400),
    "an address": ("/", b'{"inputs": "http://169.254.169.254/latest"}', {}, 400),
    "no base64": ("/", b'{"inputs": "\\u00e9"}', {}, 400),
    "top_k of nothing": ("/?top_k=0", picture(1), {}, 400),
    "top_k of much": ("/?top_k=" + "9" * 5000, picture(1), {}, 400),
    "another function": ("/", b'{"inputs": "", "parameters": {"function_to_apply": "none"}}', {}, 400),
    "parameters that are none": ("/", b'{"inputs": "", "parameters": 3}', {}, 400),
    "deep JSON": ("/", b'{"inputs":' + b"[" * 100_000, {}, 400),
    "much JSON": ("/", b'{"inputs":[' + b"0," * 2000 + b"0]}", {}, 413),
    "another model": ("/models/dogs", picture(1), {}, 404),
    "another version": ("/v2/models/pets/versions/7/infer", infer(data=["aa"]), {}, 404),
    "no inputs to infer": (INFER, b"{}", {}, 400),
    "a shape that is none": (INFER, infer(shape=[-1], data=["aa"]), {}, 400),
    "a shape of much": (INFER, infer(shape=[2**30, 2**30], data=["aa"]), {}, 400),
    "another datatype": (INFER, infer(datatype="INT64", data=[1]), {}, 400),
    "another input": (INFER, infer(name="other", data=["aa"]), {}, 400),
    "too few texts": (INFER, infer(data=[]), {}, 400),
    "a size of bytes that is none": (INFER, infer(parameters={"binary_data_size": 7}), {}, 400),
    "a head longer than the body": (INFER, b"{}", {"Inference-Header-Content-Length": "99"}, 400),
    "a head that is no number": (INFER, b"{}", {"Inference-Header-Content-Length": "-1"}, 400),
    "pixels of another size": (
        INFER,
        infer(name="pixels", datatype="UINT8", shape=[1, 2, 2, 3], data=[0] * 12),
        {},
        400,
    ),
    "pixels out of range": (
        INFER,
        infer(name="pixels", datatype="FP32", shape=[1, 12, 14, 3], data=[9] * 504),
        {},
        400,
    ),
    "bytes out of range": (
        INFER,
        infer(name="pixels", datatype="UINT8", shape=[1, 12, 14, 3], data=[256] * 504),
        {},
        400,
    ),
    "numbers that are none": (
        INFER,
        infer(name="pixels", datatype="FP32", shape=[1, 12, 14, 3], data=["a"] * 504),
        {},
        400,
    ),
    "outputs that are none": (INFER, infer(data=["aa"])[:-1] + b', "outputs": [{"name": "other"}]}', {}, 400),
}


@pytest.mark.parametrize("name", BAD)
def test_a_request_that_is_wrong_is_told_what(client: httpx.Client, name: str) -> None:
    path, body, headers, status = BAD[name]
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["error"]
    assert set(told) <= {"error", "hint"}


def test_a_text_longer_than_its_tensor_is_refused(client: httpx.Client) -> None:
    packed = struct.pack("<I", 2**31) + b"abc"
    head = infer(parameters={"binary_data_size": len(packed)})
    length = {"Inference-Header-Content-Length": str(len(head))}
    assert client.post(INFER, content=head + packed, headers=length).status_code == 400


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_itself(client: httpx.Client) -> None:
    large = b"x" * (3 << 20)
    assert client.post("/", content=large).status_code == 413
    assert (
        client.post("/", content=(large[start : start + 65536] for start in range(0, len(large), 65536))).status_code
        == 413
    )
    assert client.post("/", content=picture(1)).status_code == 200


def test_a_bad_picture_does_not_spoil_those_that_come_with_it(client: httpx.Client) -> None:
    files = [picture(1), b"no picture", picture(2)]
    texts = [base64.b64encode(file).decode() for file in files]
    answer = client.post(INFER, content=infer(shape=[3], data=texts))
    assert answer.status_code == 400
    assert "image 1" in answer.json()["error"]


def test_addresses_that_are_not_there_and_methods_that_are_not(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/try.js/../settings.py").status_code == 404
    for method, path in (("GET", INFER), ("DELETE", "/"), ("POST", "/metrics"), ("PUT", "/models/pets")):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"]


def test_other_hosts_and_other_pages_are_refused(client: httpx.Client) -> None:
    assert client.get("/v2", headers={"Host": "example.com"}).status_code == 403
    assert client.post("/", content=picture(1), headers={"Origin": "http://example.com"}).status_code == 403
    host = client.base_url.netloc.decode()
    assert client.post("/", content=picture(1), headers={"Origin": f"http://{host}"}).status_code == 200


def raw(running: Served, request: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes, or has answered."""
    with socket.create_connection(("127.0.0.1", running.port), LIMIT) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00", b"400"),  # TLS
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000, b"431"),
        (b"GET /v2/health/live HTTP/1.0\r\nHost: localhost\r\n\r\n", b"200"),
    ],
)
def test_what_is_hardly_http_is_answered_or_ended(running: Served, request_: bytes, status: bytes) -> None:
    assert status in raw(running, request_).split(b"\r\n")[0]


def test_a_token_is_needed_where_one_is_set(start: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    flags = ("--workers", "1", "--token-file", str(tmp_path / "token"))
    with start(*flags) as server, httpx.Client(base_url=server.address, timeout=LIMIT) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic 0123456789abcdef"}):
            answer = client.post("/", content=picture(1), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.get("/v2/health/ready").status_code == 200
        right = {"Authorization": "Bearer 0123456789abcdef"}
        assert client.post("/", content=picture(1), headers=right).status_code == 200
