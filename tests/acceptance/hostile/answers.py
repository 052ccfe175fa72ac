"""Answers that are none, one kind after the other."""

import itertools
import json
import socket
import threading
import time

ODD = {"model_version": "\u0000\u001b[2J\u202e<script>" + "v" * 5000, "outputs": [{"name": "score", "data": [1e308]}], "parameters": {"degraded": False}}
OK = b"HTTP/1.1 200 OK\r\n"


def forever(head: bytes, piece: bytes):
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return answer


def slowly(connection: socket.socket) -> None:
    connection.sendall(OK + b"content-length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def never(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def odd(connection: socket.socket) -> None:
    body = json.dumps(ODD).encode()
    connection.sendall(OK + f"content-length: {len(body)}\r\n\r\n".encode() + body)


KINDS = itertools.cycle(
    [
        forever(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
        forever(OK + b"content-length: 1000000000000\r\n\r\n", b"\x01\xff" * 32768),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        forever(OK, b"x-header: value\r\n" * 1000),
        slowly,
        never,
        odd,
    ]
)


def serve(connection: socket.socket, kind) -> None:
    try:
        connection.recv(65536)
        kind(connection)
    except OSError:
        pass
    finally:
        connection.close()


def main() -> None:
    listener = socket.create_server(("0.0.0.0", 8000), backlog=1024)
    print("answers: begins", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, next(KINDS)), daemon=True).start()


main()
