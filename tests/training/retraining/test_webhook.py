"""Messages to a real HTTP server, and the signature that another implementation gave for the same message."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from webhook_receiver import SECRET, Receiver

from training.retraining.webhook import Webhook, WebhookError, signature


def test_the_signature_equals_that_of_a_standard_webhooks_library() -> None:
    """The message of their tests."""
    body = b'{"test": 2432232314}'
    given = signature(base64.b64decode(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_arrives_with_a_valid_signature(receiver: Receiver, secret_file: Path) -> None:
    Webhook(url=receiver.url, secret_file=secret_file).send({"promoted": True, "sentence": "Besser."}, lambda: 1e9)
    ((headers, body),) = receiver.taken
    assert json.loads(body) == {"promoted": True, "sentence": "Besser."}
    by_name = {name.lower(): value for name, value in headers.items()}
    assert by_name["webhook-timestamp"] == "1000000000"
    signed = f"{by_name['webhook-id']}.1000000000.".encode() + body
    digest = hmac.digest(base64.b64decode(SECRET), signed, hashlib.sha256)
    assert by_name["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_a_rejected_message_is_sent_again_with_the_same_id(receiver: Receiver, secret_file: Path) -> None:
    receiver.answers = [503, 500, 200]
    Webhook(url=receiver.url, secret_file=secret_file).send({}, pause_s=0.01)
    ids = {headers.get("Webhook-id") for headers, _ in receiver.taken}
    assert (len(receiver.taken), len(ids)) == (3, 1)


@pytest.mark.parametrize(("status", "said"), [(503, "503"), (302, "302")])
def test_a_receiver_that_always_rejects_is_named_and_redirects_are_not_followed(
    receiver: Receiver, secret_file: Path, status: int, said: str
) -> None:
    receiver.answers = [status]
    with pytest.raises(
        WebhookError, match=rf"^{receiver.url}: did not accept the message \(HTTP Error {said}.*2 attempts"
    ):
        Webhook(url=receiver.url, secret_file=secret_file, attempts=2).send({}, pause_s=0.01)
    assert len(receiver.taken) == 2


def test_the_address_is_named_if_nobody_listens(secret_file: Path) -> None:
    for url, why in (("http://127.0.0.1:9/", "refused"), ("http://no host/", "control characters")):
        with pytest.raises(WebhookError, match=f"^{url}: did not accept the message .*{why}"):
            Webhook(url=url, secret_file=secret_file, attempts=1).send({})


def test_an_invalid_secret_is_refused_and_not_printed(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(WebhookError, match="secret: cannot be read"):
        Webhook(url=receiver.url, secret_file=path).send({})
    for text in ("hunter2", "whsec_", "whsec_hunter2!"):
        path.write_text(text)
        with pytest.raises(WebhookError, match="expected whsec_ and a key in base64") as refused:
            Webhook(url=receiver.url, secret_file=path).send({})
        assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="url"):
        Webhook(url="file:///etc/passwd", secret_file=path)
    assert receiver.taken == []
