"""A proxy before a real HTTP server, which fails as networks and object stores do."""

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["reset", "lost", "503", "expired", "slow"] | None
"""reset: the request is not forwarded; lost: it is, and its answer never arrives."""
ANSWERS = {
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
}


class FaultyProxy:
    """Forwards every request to `url`, unless `fault_of` (method, path, number of the request) says otherwise."""

    def __init__(self, url: str, fault_of: Callable[[str, str, int], Fault]) -> None:
        self.faults = 0
        self.requests = 0
        lock, outer, target = threading.Lock(), self, urlsplit(url)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    outer.requests += 1
                    fault = fault_of(self.command, self.path, outer.requests)
                    outer.faults += fault is not None
                if fault == "reset":
                    self.close_connection = True
                    self.connection.close()
                    return
                if fault == "slow":
                    time.sleep(1)
                if fault in ANSWERS:
                    self.answer_with_error(*ANSWERS[fault])
                    return
                forward = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
                forward.request(self.command, self.path, body, dict(self.headers))
                answer = forward.getresponse()
                data = answer.read()
                if fault == "lost":
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def answer_with_error(self, status: int, code: str, message: str) -> None:
                text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(text)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else text)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
