"""A batch as the outside sees it: one at a time, noted down, told to whoever is to know."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from pipelines.errors import RoadsignError
from training.retraining.batch import Retraining, RetrainingPlan
from training.retraining.drift.detection import DriftedError
from training.retraining.journal import Attempt, Journal
from training.retraining.lease import Clock, Lease, LeaseBusyError, LeaseLostError, find_holder, leased
from training.retraining.settings import Retrain
from training.retraining.webhook import WebhookError
from training.tracking import CHALLENGER, CHAMPION, PREVIOUS, Registry, UnreachableError, Version

__all__ = ["BusyError", "attempt", "journal_of", "status"]

LEASE = "retraining"
PAUSE_S = 5.0
OUTCOMES_NOT_TOLD = ("nothing to do",)


class BusyError(RoadsignError):
    """Another process retrains; to cron and its like a failure that passes (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


def journal_of(settings: Retrain) -> Journal:
    return Journal(settings.folder / "journal.jsonl")


def attempt(settings: Retrain, order: Callable[[], RetrainingPlan], console: Console, clock: Clock = time.time) -> None:
    """One batch. Raises RoadsignError after that has been noted and told; BusyError where another process is in work.

    A batch that is stopped (Ctrl-C, SIGTERM) has no end in the journal, as a killed one: it is due at once."""
    try:
        with leased(settings.output_root, LEASE, settings.lease_s, clock) as lease:
            journal = journal_of(settings)
            begun = Attempt(clock())
            journal.write(begun)
            try:
                ended = _done(order(), lease, console, begun)
            except LeaseLostError:
                raise  # the journal is another process's by now
            except Exception as error:
                _note(settings, journal, lease, _failed(error, begun)._replace(ended=clock()))
                raise
            _note(settings, journal, lease, ended._replace(ended=clock()))
            console.print(ended.sentence)
    except LeaseBusyError as error:
        raise BusyError(str(error)) from None


def status(settings: Retrain, clock: Clock = time.time) -> str:
    """Last run, next due, champion, pending; a line each. Raises RoadsignError."""
    last = journal_of(settings).last()
    holder = find_holder(settings.output_root, LEASE, clock) if settings.output_root.is_dir() else None
    registry = Registry(settings.name)
    challenger = registry.version(CHALLENGER)
    in_work = f"a batch is in work, {holder.who}" if holder else ""
    left = "a batch was killed; the next one goes on with it" if last and last.ended is None and not holder else ""
    compared = f"version {challenger.number} is to be compared" if challenger else ""
    lines = {
        "last run": _told(last),
        "next due": "when the one in work has ended" if holder else _when(settings.schedule.due(last, clock())),
        "champion": _version(registry.version(CHAMPION)),
        "previous": _version(registry.version(PREVIOUS)),
        "pending": "; ".join(filter(None, (in_work, left, compared))) or "nothing",
    }
    return "\n".join(f"{name}:  {text}" for name, text in lines.items())


def _done(order: RetrainingPlan, lease: Lease, console: Console, begun: Attempt) -> Attempt:
    batch = order.batch()
    patiently = Retrying(
        retry=retry_if_exception_type(UnreachableError),
        wait=wait_fixed(PAUSE_S),
        stop=stop_after_delay(order.settings.wait_for_server_s),
        before_sleep=lambda tried: _wait_for_server(tried, console),
        reraise=True,
    )
    outcome = patiently(lambda: Retraining(order, batch, lease, console).run())
    return begun._replace(exit_code=0, batch_id=batch.id, outcome=outcome.what, sentence=outcome.sentence)


def _wait_for_server(tried: RetryCallState, console: Console) -> None:
    """The batch goes on from where it is when the server is back."""
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
    if settings.webhook is None or ended.outcome in OUTCOMES_NOT_TOLD:
        return
    facts = {"model": settings.name, "batch_id": ended.batch_id, "exit_code": ended.exit_code}
    message = {
        "type": f"retraining.{ended.outcome.replace(' ', '_')}",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {**facts, "sentence": ended.sentence},
    }
    try:
        settings.webhook.send(message)
    except WebhookError as error:  # what was done is done
        print(f"warning: nobody was told: {error}", file=sys.stderr)


def _told(last: Attempt | None) -> str:
    if last is None:
        return "never"
    if last.ended is None:
        return f"{_when(last.began)}, without an end so far"
    seconds = last.ended - last.began
    return f"{_when(last.began)}, {seconds:,.0f} s, exit code {last.exit_code}: {last.sentence}"


def _version(version: Version | None) -> str:
    if version is None:
        return "none"
    batch = f", batch {version.batch_id}" if version.batch_id else ""
    return f"version {version.number} (run {version.run_id}{batch})"


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
