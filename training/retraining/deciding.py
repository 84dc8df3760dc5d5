"""From two contenders to a decision that is written down, tracked and shown, and to the report on test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from pipelines.store.schema import CLEAN, Split
from training.retraining.comparing import CHALLENGER, ComparedImages, compare, evaluated
from training.retraining.contenders import trained_on
from training.retraining.decision import Decision, document, sha256
from training.retraining.drift.detection import write_report
from training.retraining.drift.measures import Report
from training.retraining.plan import RetrainingPlan
from training.retraining.record import Contender, Decided, Network, RetrainingBatch
from training.retraining.tracking_decisions import (
    accuracy_text,
    log_test_report,
    sentence_on_test,
    shown,
    track_decision,
)
from training.tracking import Version

__all__ = ["Deciding"]

TEST: Split = "test"
DECISIVE = {"gate", "seeds", "split", "size_px", "geometry", "datasets", "training", "attacks"}


@dataclass(frozen=True)
class Deciding:
    """`run_job(name, arguments)` runs a job as a step of the batch."""

    plan: RetrainingPlan
    batch: RetrainingBatch
    console: Console
    run_job: Callable[[str, list[str]], None]

    def decide(self, champion: Contender | None, challenger: Contender, report: Report | None) -> Decided:
        """The decision, recorded in the batch. Raises RoadsignError."""
        for one in (challenger, *([champion] if champion else [])):
            self._attack(one.networks)
        settings, version = self.plan.settings, champion and champion.version
        known = trained_on(champion) if champion else frozenset()
        folder = self.batch.folder / "evaluation"
        found = compare(settings, self._shown, champion, challenger, folder, self.console, known)
        written = document(found.decision, self._facts(champion, challenger, found.images))
        self.batch.keep_document(written)
        self.console.print(shown(found.decision))
        self.console.print(f"{self.batch.document}: SHA-256 {sha256(written)}", soft_wrap=True)
        run_id = self.track(version, challenger.version, found.decision, report, sha256(written))
        clean = accuracy_text(found.decision.named(CLEAN), settings.split)
        decided = Decided(
            version.number if version else None, challenger.version.number, found.decision.promoted,
            found.decision.sentence, run_id, sha256(written), clean,
        )  # fmt: skip
        self.batch.decide(decided)
        return decided

    def track(
        self, champion: Version | None, challenger: Version | None, decision: Decision, report: Report | None,
        digest: str = "",
    ) -> str:  # fmt: skip
        """The id of the run. `digest`: of the decision's document, if there is one."""
        facts = {
            **self.plan.facts,
            "champion": champion.number if champion else "none",
            "challenger": challenger.number if challenger else "none",
            "forced": str(self.plan.settings.force).lower(),
            **({"drift": report.sentence} if report else {}),
        }
        files = [self.batch.document] if digest else []
        files += [write_report(report, self.batch.folder)] if report else []
        given = self.plan.settings, self.batch.folder, self.plan.command
        return track_decision(*given, facts, decision, files, digest)

    def report_on_test(self, promoted: Contender, decided: Decided) -> str:
        """Evaluates the network that will serve on the test images, and adds it to the decision's run. Returns a
        sentence, or "" if the decision was made on these images or there are none. Raises RoadsignError."""
        settings = self.plan.settings
        if settings.split == TEST or not self.plan.manifest.counts.get(TEST):
            return ""
        self._attack(promoted.networks[:1], [settings.split, TEST])
        serving = {CHALLENGER: promoted._replace(networks=promoted.networks[:1])}
        folder = self.batch.folder / TEST
        result = evaluated(settings, self._shown, serving, TEST, folder, self.console)
        log_test_report(self.batch.folder, decided.run_id, result, folder)
        clean = result.predictions[CHALLENGER, CLEAN]
        sentence = sentence_on_test(clean.units.proportion(clean.right))
        self.console.print(sentence)
        return sentence

    @property
    def _shown(self) -> ComparedImages:
        return ComparedImages(self.plan.root, self.plan.variants, self.plan.attacked_variants())

    def _attack(self, networks: Sequence[Network], splits: Sequence[Split] = ()) -> None:
        settings = self.plan.settings
        for network in networks:
            for attack in settings.attacks:
                given = self.plan.root, network.run_id, attack, self.batch.id, splits
                self.run_job("make_adversarial_datasets", settings.for_attack(*given))

    def _facts(
        self, champion: Contender | None, challenger: Contender, images: Mapping[str, object]
    ) -> dict[str, object]:
        """All that the decision rests on."""
        settings = self.plan.settings
        return {
            "model": settings.name,
            "batch_id": self.batch.id,
            "champion": champion.facts() if champion else None,
            "challenger": challenger.facts(),
            "data": {"digest": self.plan.data_digest(), "split": settings.split, "images": images},
            "code": self.plan.code,
            "settings": {"digest": self.plan.configuration, **settings.model_dump(mode="json", include=DECISIVE)},
            "forced": settings.force,
        }
