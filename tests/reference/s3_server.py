"""A real local S3 server (moto), which can be stopped."""

import json
import socket
import subprocess
import sys
import time
import urllib.request


class Server:
    """An S3 server in a separate process."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5) as answer:
                return isinstance(json.load(answer), dict)
        except OSError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
