"""One batch of retraining, step by step.

Each step detects by itself what is already done: datasets by their manifests, runs and the decision by their records.
So after a kill, the next process resumes the batch at the same step."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from rich.console import Console

from pipelines.datasets import Listing
from pipelines.store.schema import CLEAN, Cell, Manifest
from training.classifiers.trained import Classifier
from training.loop.run_folder import RunFolder
from training.retraining.child import run_child
from training.retraining.drift.detection import DriftedError, find_drift, keep_profile, write_report
from training.retraining.drift.measures import Report
from training.retraining.gate import Decision
from training.retraining.lease import Lease
from training.retraining.record import BatchError, Contender, Decided, RetrainingBatch
from training.retraining.settings import Retrain
from training.tracking import CHAMPION, Registry, Spool, Version, end_run, find_models, send_kept

__all__ = ["Outcome", "Retraining", "RetrainingPlan"]

CPU = torch.device("cpu")


class Outcome(NamedTuple):
    what: Literal["promoted", "not promoted", "nothing to do"]
    sentence: str


@dataclass(frozen=True)
class RetrainingPlan:
    """The inputs of a batch: the scripts of the jobs, the folder of the dataset and its noisy variants, the raw images,
    and digests of the code and of the configuration. `unchanged`: the datasets exist and were made from these raw
    images."""

    settings: Retrain
    jobs: Path
    root: Path
    variants: tuple[str, ...]
    listing: Listing
    code: str
    configuration: str
    unchanged: bool
    command: str
    facts: Mapping[str, str]

    @property
    def clean(self) -> Cell:
        return Cell(self.settings.geometry, self.settings.size_px, CLEAN)

    def key(self, data: str) -> str:
        """A digest of all inputs of a challenger."""
        return hashlib.sha256(f"{self.code} {self.configuration} {data}".encode()).hexdigest()

    def batch(self) -> RetrainingBatch:
        """The unfinished batch to resume, or a new one; its id depends only on what is to be done."""
        key = self.key(self.listing.state())[:12]
        number = 1
        while self.settings.force and RetrainingBatch(self.settings.folder / f"{key}-{number}").closed:
            number += 1
        return RetrainingBatch(self.settings.folder / f"{key}-{number}")


class Retraining:
    """One batch; only the holder of the lease may run it."""

    def __init__(self, plan: RetrainingPlan, batch: RetrainingBatch, lease: Lease, console: Console) -> None:
        self.plan = plan
        self.settings = plan.settings
        self.batch = batch
        self.lease = lease
        self.console = console
        self.registry = Registry(self.settings.name)

    def run(self) -> Outcome:
        """Raises RoadsignError; the champion is then unchanged."""
        if not self.plan.unchanged:
            self._make_datasets(self.settings.size_px)
        digest = self.plan.key(self._data_digest())
        version = self.registry.version(CHAMPION)
        if not self.settings.force and (done := self._done(digest, version)):
            return Outcome("nothing to do", done)
        champion = self._champion(version)
        report = self._drift(champion)
        if report and not report.drifted and self.settings.on_drift == "trigger":
            return Outcome("nothing to do", f"{report.sentence} on_drift=trigger: nothing is trained")
        for run_id in self.batch.overtaken():
            end_run(run_id)
        challenger = self._challenger(digest)
        decided = self.batch.decided
        if decided is None or (version and version.number) not in (decided.champion, decided.challenger):
            decided = self._decided(champion, challenger, report)
        return self._carried_out(decided)

    def _data_digest(self) -> str:
        """The digest of the ids, labels, regions and pixels of the raw images."""
        folder = self.plan.clean.folder(self.plan.root)
        manifest = Manifest.read(folder)
        if manifest is None:
            raise BatchError(f"{folder}: does not exist; include {CLEAN} in the variants, at size_px")
        return str(manifest.source["digest"])

    def _done(self, digest: str, champion: Version | None) -> str | None:
        """The reason why there is nothing to do, or None."""
        made = self.registry.made_of(digest)
        if not made:
            return None
        same = f"nothing has changed: data, code and settings equal those of version {made[0].number}"
        if champion and champion.number in [version.number for version in made]:
            return f"{same}, the champion"
        why = "it was rolled back" if made[0].rolled_back else made[0].decision
        return f"{same} ({why}); force=true trains again"

    def _champion(self, version: Version | None) -> Contender | None:
        """The champion, with a dataset of its image size."""
        if version is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            (found,) = find_models([version.run_id], folder=Path(folder))
            champion = Contender(version, Classifier.read(found.path, CPU))
        if champion.classifier.shape.size_px != self.settings.size_px:
            self._make_datasets(champion.classifier.shape.size_px)
        return champion

    def _drift(self, champion: Contender | None) -> Report | None:
        """Raises DriftedError, after the report has been logged as a run."""
        if champion is None:
            return None
        given = self.settings, self.plan.root, self.plan.listing
        report = find_drift(*given, champion.classifier, champion.version.run_id)
        if report:
            self.console.print(report.sentence)
            if report.drifted and self.settings.on_drift == "block":
                why = f"Stopped: {report.sentence} Look at the new images, then use on_drift=report"
                self._track(champion.version, None, Decision(False, why, ()), report)
                raise DriftedError(why)
        return report

    def _challenger(self, digest: str) -> Contender:
        """The best challenger of all seeds, registered."""
        runs = {seed: self._trained(seed) for seed in self.settings.seeds}
        classifiers = {seed: Classifier.read(run.model, CPU) for seed, run in runs.items()}
        best = max(runs, key=lambda seed: float(classifiers[seed].about["validation_accuracy"]))
        keep_profile(self.settings, self.plan.root, self.plan.listing, runs[best], classifiers[best])
        self.lease.check()
        version = self.registry.challenge(str(runs[best].record["run_id"]), self.batch.id, digest)
        return Contender(version, classifiers[best])

    def _trained(self, seed: int) -> RunFolder:
        run = self.batch.finished_run(seed)
        if run is None:
            folder = self.batch.runs_of(seed)
            self._job("train_classifier", self.settings.for_training(self.plan.root, seed, folder, self.batch.id))
            run = self.batch.finished_run(seed)
        if run is None:
            raise BatchError(f"{self.batch.runs_of(seed)}: the training has not left a finished run there")
        for spool in Spool.find(run.path):
            send_kept(spool)
        return run

    def _decided(self, champion: Contender | None, challenger: Contender, report: Report | None) -> Decided:
        for one in (challenger, *([champion] if champion else [])):
            for attack in self.settings.attacks:
                arguments = self.settings.for_attack(self.plan.root, one.version.run_id, attack, self.batch.id)
                self._job("make_adversarial_datasets", arguments)
        from training.retraining.comparing import (
            compare,  # here: "nothing to do" need not spend seconds on importing matplotlib
        )

        decision = compare(
            self.settings, self.plan.root, self.plan.variants, self._attacks(), champion, challenger,
            self.batch.folder / "evaluation", self.console,
        )  # fmt: skip
        version = champion.version if champion else None
        run_id = self._track(version, challenger.version, decision, report)
        number = version.number if version else None
        decided = Decided(number, challenger.version.number, decision.promoted, decision.sentence, run_id)
        self.batch.decide(decided)
        return decided

    def _track(
        self, champion: Version | None, challenger: Version | None, decision: Decision, report: Report | None
    ) -> str:
        facts = {
            **self.plan.facts,
            "champion": champion.number if champion else "none",
            "challenger": challenger.number if challenger else "none",
            **({"drift": report.sentence} if report else {}),
        }
        from training.retraining.comparing import track_decision

        tables = [write_report(report, self.batch.folder)] if report else []
        return track_decision(self.settings, self.batch.folder, self.plan.command, facts, decision, tables)

    def _carried_out(self, decided: Decided) -> Outcome:
        self.lease.check()
        if decided.promoted:
            self.registry.promote(decided.challenger, decided.champion)
        self.registry.decide(decided.challenger, decided.sentence)
        self.batch.close()
        return Outcome("promoted" if decided.promoted else "not promoted", decided.sentence)

    def _attacks(self) -> list[str]:
        conf = self.plan.jobs.parent / "conf"
        return [variant for attack in self.settings.attacks_of(conf) for variant in attack.strengths]

    def _make_datasets(self, size_px: int) -> None:
        self._job("make_noisy_datasets", self.settings.for_datasets(size_px, self.batch.id))

    def _job(self, name: str, arguments: list[str]) -> None:
        self.lease.check()
        run_child(self.plan.jobs / f"{name}.py", arguments)
