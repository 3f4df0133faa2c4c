#!/usr/bin/env python3
"""Exercises every endpoint of a running Atelier: ./try.py http://localhost:8000

Adds one user and two posts. Needs nothing but Python.
"""

import base64
import http.client
import json
import os
import struct
import sys
import time
import urllib.parse
import uuid

BASE = urllib.parse.urlsplit(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000")
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def call(method, path, body=None, headers=None, expect=200):
    connection = http.client.HTTPConnection(BASE.hostname, BASE.port or 80, timeout=70)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    shown = content[:160].decode(errors="replace") if "image" not in answer.headers["content-type"] else "(image)"
    print(f"{method:4} {path[:60]:60} {answer.status} {' '.join(shown.split())[:110]}")
    assert answer.status == expect, f"expected {expect}"
    return answer, content


def call_json(method, path, value=None, headers=None, expect=200):
    headers = {"content-type": "application/json", **(headers or {})}
    body = json.dumps(value) if value is not None else None
    answer, content = call(method, path, body, headers, expect)
    return answer, json.loads(content)


def upload(cookie, visibility):
    edge = uuid.uuid4().hex
    text = "".join(
        f'--{edge}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in [("title", f"A {visibility} dot"), ("visibility", visibility)]
    )
    file = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="dot.png"\r\ncontent-type: image/png\r\n\r\n'
    body = (text + file).encode() + PICTURE + f"\r\n--{edge}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={edge}", **cookie}
    return json.loads(call("POST", "/posts", body, headers, 201)[1])


def told(post, cookie):
    for _ in range(50):
        found = call_json("GET", f"/posts/{post['id']}", headers=cookie)[1]
        if found["notifications"]:
            return True
        time.sleep(0.2)
    return False


def frame(stream):
    first, length = stream.read(2)
    if length == 126:
        length = struct.unpack(">H", stream.read(2))[0]
    return first & 15, stream.read(length)


def websocket(until_closed=False):
    """Opens /ws, sends a line and reads until its echo and two ticks came."""
    connection = http.client.HTTPConnection(BASE.hostname, BASE.port or 80, timeout=70)
    connection.connect()
    sock = connection.sock
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {BASE.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    stream = sock.makefile("rb")
    assert b"101" in stream.readline()
    while stream.readline().strip():
        pass
    text = b"hello"
    sock.sendall(bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text)
    ticks, echoed = 0, False
    while until_closed or ticks < 2 or not echoed:
        kind, content = frame(stream)
        if kind == 8:
            print(f"WS   closed with {struct.unpack('>H', content[:2])[0]} {content[2:].decode()!r}")
            return
        print(f"WS   {content.decode()}", flush=True)
        if content == text:
            echoed = True
        else:
            ticks += 1
    sock.close()


def main():
    if sys.argv[2:] == ["--stay"]:
        return websocket(until_closed=True)
    call_json("GET", "/health")
    call_json("GET", "/whoami")
    call("GET", "/")
    name = uuid.uuid4().hex[:10]
    user = {"email": f"{name}@example.org", "handle": name, "password": "paint and brush"}
    call_json("POST", "/users", user, expect=201)
    call_json("POST", "/users", user, expect=409)
    call_json("POST", "/login", {**user, "password": "wrong"}, expect=401)
    call_json("GET", "/me", expect=401)
    answer, _ = call_json("POST", "/login", user)
    cookie = {"cookie": answer.headers["set-cookie"].split(";")[0]}
    call_json("GET", "/me", headers=cookie)
    public, private = upload(cookie, "public"), upload(cookie, "private")
    listed = [post["id"] for post in call_json("GET", "/posts")[1]]
    assert public["id"] in listed and private["id"] not in listed
    call_json("GET", f"/posts/{private['id']}", expect=404)
    assert call("GET", f"/vault/{public['storage_key']}")[1] == PICTURE
    call_json("GET", f"/vault/{private['storage_key']}", expect=404)
    call("GET", f"/vault/{private['storage_key']}", headers=cookie)
    assert told(public, cookie) and told(private, cookie), "the worker wrote no notification"
    call_json("GET", "/slow?ms=300")
    websocket()
    print("all as expected")


if __name__ == "__main__":
    main()
