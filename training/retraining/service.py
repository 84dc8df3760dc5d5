"""A batch from start to end: one at a time, recorded in the journal, and reported to a webhook."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from pipelines.errors import RoadsignError
from training.retraining.batch import Retraining
from training.retraining.drift.detection import DriftedError
from training.retraining.journal import Attempt, Journal
from training.retraining.lease import Clock, Lease, LeaseBusyError, LeaseLostError, leased
from training.retraining.plan import RetrainingPlan
from training.retraining.settings import Retrain
from training.retraining.status import LEASE, journal_of
from training.retraining.webhook import WebhookError
from training.tracking import UnreachableError

__all__ = ["BusyError", "attempt"]

PAUSE_S = 5.0
OUTCOMES_WITHOUT_WEBHOOK = ("nothing to do",)


class BusyError(RoadsignError):
    """Another process is retraining. The exit code is EX_TEMPFAIL of sysexits.h, a temporary failure for cron and the
    like."""

    exit_code = 75


def attempt(settings: Retrain, plan: Callable[[], RetrainingPlan], console: Console, clock: Clock = time.time) -> None:
    """One batch. Raises RoadsignError after the failure has been recorded and reported; BusyError if another process is
    retraining.

    A batch that is stopped (Ctrl-C, SIGTERM) has no end in the journal, like a killed one: it is due immediately."""
    try:
        with leased(settings.output_root, LEASE, settings.lease_s, clock) as lease:
            journal = journal_of(settings)
            begun = Attempt(clock())
            journal.write(begun)
            try:
                ended = _done(plan(), lease, console, begun)
            except LeaseLostError:
                raise  # another process owns the journal by now
            except Exception as error:
                _note(settings, journal, lease, _failed(error, begun)._replace(ended=clock()))
                raise
            _note(settings, journal, lease, ended._replace(ended=clock()))
            console.print(ended.sentence)
    except LeaseBusyError as error:
        raise BusyError(str(error)) from None


def _done(plan: RetrainingPlan, lease: Lease, console: Console, begun: Attempt) -> Attempt:
    batch = plan.batch()
    patiently = Retrying(
        retry=retry_if_exception_type(UnreachableError),
        wait=wait_fixed(PAUSE_S),
        stop=stop_after_delay(plan.settings.wait_for_server_s),
        before_sleep=lambda tried: _wait_for_server(tried, console),
        reraise=True,
    )
    outcome = patiently(lambda: Retraining(plan, batch, lease, console).run())
    return begun._replace(exit_code=0, batch_id=batch.id, outcome=outcome.what, sentence=outcome.sentence)


def _wait_for_server(tried: RetryCallState, console: Console) -> None:
    """The batch resumes where it stopped when the server is back."""
    why = tried.outcome.exception() if tried.outcome else None
    console.print(f"warning: {why}; waiting for it")


def _failed(error: Exception, begun: Attempt) -> Attempt:
    code = error.exit_code if isinstance(error, RoadsignError) else 1
    why = str(error) if isinstance(error, RoadsignError) else f"{type(error).__name__}: {error}"
    return begun._replace(
        exit_code=code, outcome="drifted" if isinstance(error, DriftedError) else "failed", sentence=why
    )


def _note(settings: Retrain, journal: Journal, lease: Lease, ended: Attempt) -> None:
    lease.check()
    journal.write(ended)
    if settings.webhook is None or ended.outcome in OUTCOMES_WITHOUT_WEBHOOK:
        return
    facts = {"model": settings.name, "batch_id": ended.batch_id, "exit_code": ended.exit_code}
    message = {
        "type": f"retraining.{ended.outcome.replace(' ', '_')}",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {**facts, "sentence": ended.sentence},
    }
    try:
        settings.webhook.send(message)
    except WebhookError as error:  # the batch itself is complete
        print(f"warning: the webhook was not notified: {error}", file=sys.stderr)
