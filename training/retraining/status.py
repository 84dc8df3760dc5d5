"""What jobs/retrain.py --status prints: last run, next due, champion, previous champion, and what is pending."""

import json
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from training.retraining.journal import Attempt, Journal
from training.retraining.lease import Clock, Holder, find_holder
from training.retraining.settings import Retrain
from training.tracking import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version

__all__ = ["LEASE", "Status", "find_status", "journal_of"]

LEASE = "retraining"


class Status(NamedTuple):
    """`due`: seconds since 1970, None while a batch is running. `pending` has a sentence for each thing."""

    last: Attempt | None
    due: float | None
    champion: Version | None
    previous: Version | None
    pending: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for each."""
        lines = {
            "last run": _last_run(self.last),
            "next due": "when the running batch has ended" if self.due is None else _when(self.due),
            "champion": _version(self.champion),
            "previous": _version(self.previous),
            "pending": "; ".join(self.pending) or "nothing",
        }
        return "\n".join(f"{name}:  {text}" for name, text in lines.items())

    @property
    def json(self) -> str:
        """One object; times are in UTC, and null is what there is not."""
        return json.dumps(
            {
                "last_run": None if self.last is None else _attempt_facts(self.last),
                "next_due": None if self.due is None else _iso(self.due),
                "champion": _version_facts(self.champion),
                "previous": _version_facts(self.previous),
                "pending": self.pending,
            },
            indent=1,
        )


def journal_of(settings: Retrain) -> Journal:
    return Journal(settings.folder / "journal.jsonl")


def find_status(settings: Retrain, clock: Clock = time.time) -> Status:
    """Raises RoadsignError."""
    last = journal_of(settings).last()
    holder = find_holder(settings.output_root, LEASE, clock) if settings.output_root.is_dir() else None
    registry = Registry(settings.name)
    return Status(
        last,
        None if holder else settings.schedule.due(last, clock()),
        registry.version(CHAMPION),
        registry.version(PREVIOUS),
        _pending(last, holder, registry.version(CHALLENGER)),
    )


def _pending(last: Attempt | None, holder: Holder | None, challenger: Version | None) -> tuple[str, ...]:
    running = f"a batch is running ({holder.who})" if holder else ""
    killed = "a batch was killed; the next one resumes it" if last and last.ended is None and not holder else ""
    compared = f"version {challenger.number} is waiting for comparison" if challenger else ""
    return tuple(filter(None, (running, killed, compared)))


def _last_run(last: Attempt | None) -> str:
    if last is None:
        return "never"
    if last.ended is None:
        return f"{_when(last.began)}, not ended"
    seconds = last.ended - last.began
    return f"{_when(last.began)}, {seconds:,.0f} s, exit code {last.exit_code}: {last.sentence}"


def _version(version: Version | None) -> str:
    if version is None:
        return "none"
    batch = f", batch {version.batch_id}" if version.batch_id else ""
    accuracy = f", clean accuracy {version.clean_accuracy}" if version.clean_accuracy else ""
    return f"version {version.number} (run {version.run_id}{batch}){accuracy}"


def _attempt_facts(last: Attempt) -> dict[str, Any]:
    ended = None if last.ended is None else _iso(last.ended)
    return {**last._asdict(), "began": _iso(last.began), "ended": ended}


def _version_facts(version: Version | None) -> dict[str, Any] | None:
    return None if version is None else version._asdict()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
