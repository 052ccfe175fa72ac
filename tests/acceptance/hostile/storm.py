"""What a submission can do to the machine and the platform, one kind a service; everything ends after a while."""

import os
import random
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

END = time.monotonic() + 150
THREADS = 64


def over() -> bool:
    return time.monotonic() > END


def hog() -> None:
    """Fills every place for a process with a busy loop."""
    while True:
        try:
            if os.fork() == 0:
                break
        except OSError:
            break
    while not over():
        pass


def memory() -> None:
    """Takes memory until the kernel says no, again and again."""
    while not over():
        if os.fork() == 0:
            kept = [bytearray(1 << 20) for _ in range(1 << 20)]
            sys.exit(len(kept) == 0)
        os.wait()


def logs() -> None:
    """Says as much as the engine takes."""
    line = b"x" * 120 + b"\n"
    while not over():
        os.write(1, line * 500)


def disk() -> None:
    """Writes files until nobody lets it any more."""
    number = 0
    while not over():
        with open(f"/tmp/{number}", "wb") as file:
            file.write(bytes(64 << 20))
        number += 1


def names() -> None:
    """Asks for names that nobody has."""

    def ask(_: int) -> None:
        while not over():
            try:
                socket.getaddrinfo(f"n{random.random()}.example", 80)
            except OSError:
                pass

    many(ask)


def connections(host: str) -> None:
    """Opens connections and drops them."""

    def connect(_: int) -> None:
        while not over():
            try:
                socket.create_connection((host, 8080), timeout=5).close()
            except OSError:
                pass

    many(connect)


def requests(host: str, path: str, size: int) -> None:
    """Sends requests with large bodies, and keeps connections on which it says nothing."""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {size}\r\n\r\n".encode()

    def send(number: int) -> None:
        while not over():
            try:
                with socket.create_connection((host, 8080), timeout=5) as connection:
                    if number % 4:
                        connection.sendall(head + b"[" * size)
                    while connection.recv(4096):
                        pass
            except OSError:
                pass

    many(send)


def many(work) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def main() -> None:
    what, *rest = sys.argv[1:]
    print(f"storm: {what} {rest}", flush=True)
    match what:
        case "hog":
            hog()
        case "memory":
            memory()
        case "logs":
            logs()
        case "disk":
            disk()
        case "names":
            names()
        case "connections":
            connections(rest[0])
        case "requests":
            requests(rest[0], rest[1], int(rest[2]))
    print("storm: over", flush=True)
    time.sleep(3600)


main()
