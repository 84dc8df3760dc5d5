"""Reports the outcome of a batch by a signed POST, which receivers that have the secret can verify.

Follows Standard Webhooks 1.0 (github.com/standard-webhooks), for which there are libraries: the headers
webhook-id, webhook-timestamp and webhook-signature, and JSON.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pydantic import Field
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from pipelines.errors import RoadsignError
from pipelines.settings import LocalPath, Settings

__all__ = ["Webhook", "WebhookError", "signature"]

SECRET_BEGINS = "whsec_"  # noqa: S105


class WebhookError(RoadsignError):
    """A message could not be delivered or signed."""


class Webhook(Settings):
    """`secret_file` holds whsec_ and the key in base64, so that settings, logs and runs contain no secret."""

    url: str = Field(pattern="^https?://")
    secret_file: LocalPath
    attempts: int = Field(default=3, ge=1)
    timeout_s: float = Field(default=10.0, gt=0)

    def send(self, message: Mapping[str, Any], clock: Callable[[], float] = time.time, pause_s: float = 1.0) -> None:
        """Retries after pause_s, 2 · pause_s … until the message is accepted, always with the same id, so that a
        receiver can recognize repetitions. Raises WebhookError."""
        key = _key(self.secret_file)
        message_id, body = f"msg_{uuid.uuid4().hex}", json.dumps(message).encode()
        again = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(pause_s),
            retry=retry_if_exception_type((OSError, HTTPException)),
        )
        try:
            again(self._post, key, message_id, body, clock)
        except RetryError as error:
            why = error.last_attempt.exception()
            raise WebhookError(f"{self.url}: did not accept the message ({why}) in {self.attempts} attempts") from None

    def _post(self, key: bytes, message_id: str, body: bytes, clock: Callable[[], float]) -> None:
        timestamp = int(clock())
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(key, message_id, timestamp, body),
        }
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310
        opener = urllib.request.build_opener(_NoRedirects)
        try:
            opener.open(request, timeout=self.timeout_s).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            raise


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Messages are only for the URL in the settings: a redirect is an error."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """v1, and the HMAC-SHA256 of "id.timestamp.body" in base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def _key(path: Path) -> bytes:
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise WebhookError(f"secret_file={path}: cannot be read ({error.strerror})") from None
    try:
        key = base64.b64decode(text.removeprefix(SECRET_BEGINS), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_BEGINS) or not key:
        raise WebhookError(f"secret_file={path}: expected {SECRET_BEGINS} and a key in base64")
    return key
