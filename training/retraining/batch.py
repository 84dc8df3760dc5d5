"""One batch of retraining, step by step.

Each step detects by itself what is already done: datasets by their manifests, runs and the decision by their records.
So after a kill, the next process resumes the batch at the same step."""

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from rich.console import Console

from training.classifiers.trained import Classifier
from training.loop.run_folder import RunFolder
from training.retraining.child import run_child
from training.retraining.contenders import find_contender
from training.retraining.decision import Decision
from training.retraining.drift.detection import DriftedError, find_drift, keep_profile
from training.retraining.drift.measures import Report
from training.retraining.lease import Lease
from training.retraining.plan import RetrainingPlan
from training.retraining.record import BatchError, Contender, Decided, Network, RetrainingBatch
from training.tracking import CHAMPION, Registry, Spool, Version, end_run, send_kept

if TYPE_CHECKING:
    from training.retraining.deciding import Deciding

__all__ = ["Outcome", "Retraining"]

CPU = torch.device("cpu")


class Outcome(NamedTuple):
    what: Literal["promoted", "not promoted", "nothing to do"]
    sentence: str


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
        digest = self.plan.key(self.plan.data_digest())
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
            decided = self._deciding.decide(champion, challenger, report)
        return self._carried_out(challenger, decided)

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
        champion = find_contender(version, self.console)
        if champion.size_px != self.settings.size_px:
            self._make_datasets(champion.size_px)
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
                self._deciding.track(champion.version, None, Decision(False, why, ()), report)
                raise DriftedError(why)
        return report

    def _challenger(self, digest: str) -> Contender:
        """The challengers of all seeds, of which the best is registered."""
        runs = [self._trained(seed) for seed in self.settings.seeds]
        read = [(run, Classifier.read(run.model, CPU)) for run in runs]
        read.sort(key=lambda one: -float(one[1].about["validation_accuracy"]))  # stable: of equals, the first seed
        keep_profile(self.settings, self.plan.root, self.plan.listing, *read[0])
        self.lease.check()
        networks = tuple(Network(str(run.record["run_id"]), classifier) for run, classifier in read)
        run_ids = [one.run_id for one in networks]
        return Contender(self.registry.challenge(run_ids[0], self.batch.id, digest, run_ids), networks)

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

    def _carried_out(self, challenger: Contender, decided: Decided) -> Outcome:
        tested = self._deciding.report_on_test(challenger, decided) if decided.promoted else ""
        self.lease.check()
        if decided.promoted:
            self.registry.promote(decided.challenger, decided.champion)
        self.registry.decide(
            decided.challenger, decided.sentence, clean_accuracy=decided.clean_accuracy, sha256=decided.sha256,
            description=" ".join(filter(None, (decided.sentence, tested))),
        )  # fmt: skip
        self.batch.close()
        return Outcome("promoted" if decided.promoted else "not promoted", decided.sentence)

    @property
    def _deciding(self) -> "Deciding":
        from training.retraining.deciding import Deciding  # here: "nothing to do" need not import matplotlib

        return Deciding(self.plan, self.batch, self.console, self._job)

    def _make_datasets(self, size_px: int) -> None:
        self._job("make_noisy_datasets", self.settings.for_datasets(size_px, self.batch.id))

    def _job(self, name: str, arguments: list[str]) -> None:
        self.lease.check()
        run_child(self.plan.jobs / f"{name}.py", arguments)
