"""A web server that fails on request in realistic ways."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALL_S = 10.0
CHUNK = bytes(2**16)


class Handler(BaseHTTPRequestHandler):
    server: "ArchiveServer"

    def do_GET(self) -> None:
        name = self.path.removeprefix("/archives/")
        self.server.requests.append((name, self.headers["Range"]))
        faults = self.server.faults[name]
        fault = faults.pop(0) if faults else "none"
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        if start and fault != "ignore range":
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        if fault == "endless":
            self.end_headers()
            self.send_endlessly()
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "corrupt":
            body = bytes(len(body))
        self.send_body(body[: len(body) // 2] if fault in ("drop", "stall") else body)
        if fault == "stall":
            self.server.released.wait(STALL_S)

    def send_body(self, body: bytes) -> None:
        self.server.served_bytes += len(body)
        self.wfile.write(body)
        self.wfile.flush()

    def send_endlessly(self) -> None:
        """Sends data until the client disconnects, at most 1 GB."""
        try:
            for _ in range(2**14):
                self.send_body(CHUNK)
        except OSError:
            pass

    def log_message(self, *args: Any) -> None:
        pass


class ArchiveServer(ThreadingHTTPServer):
    """Serves `files` under `url`. `faults` of a name are used up by its requests, in their order: a status, "drop" and
    "stall" after half, "corrupt", "ignore range", "endless"."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.requests: list[tuple[str, str | None]] = []
        self.served_bytes = 0
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/archives/"


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[ArchiveServer]:
    with ArchiveServer(files) as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.released.set()
        started.shutdown()
        thread.join()
