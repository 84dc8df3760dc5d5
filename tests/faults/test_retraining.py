"""Complete retraining batches: their results, refusals, and the effect of a kill at every step."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from mlflow.entities import Run
from PIL import Image
from retrainings import Place, expired, gone, wait_for

from pipelines.datasets import SyntheticSigns
from pipelines.store.schema import MANIFEST_NAME, Manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SyntheticSigns(root=tmp_path_factory.mktemp("raw") / "signs", test_images_per_class=4).ensure()


@pytest.fixture(scope="module")
def place(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with a champion trained for four epochs. The tests of this module build on each other."""
    made = Place(tmp_path_factory.mktemp("service"), raw)
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def finished(place: Place, experiment: str = "classifiers") -> list[Run]:
    return [run for run in place.runs(experiment) if run.info.status == "FINISHED"]


def manifests(place: Place) -> list[Manifest]:
    found = [Manifest.read(path.parent) for path in (place.folder / "data" / "datasets").rglob(MANIFEST_NAME)]
    assert found
    return [manifest for manifest in found if manifest is not None]


def test_the_first_batch_leaves_a_champion_and_all_of_it_has_one_batch_id(place: Place) -> None:
    (trained,), (decision,) = finished(place), finished(place, "retraining")
    version = place.client.get_model_version_by_alias("roadsign", "champion")
    batch_id = trained.data.tags["batch_id"]
    assert version.run_id == trained.info.run_id
    assert {batch_id} == {decision.data.tags["batch_id"], version.tags["batch_id"], decision.info.run_name}
    assert {manifest.made_by["batch_id"] for manifest in manifests(place)} == {batch_id}
    sentence = decision.data.tags["mlflow.note.content"]
    assert sentence.startswith("Promoted: there was no champion. Clean accuracy ")
    assert f"Clean accuracy {decision.data.metrics['accuracy/clean']:.2%};" in sentence
    assert sentence in place.run("--status").stdout
    assert place.aliases() == {"champion": "1"}


def test_the_decision_is_one_document_whose_hash_is_everywhere(place: Place) -> None:
    (decision,) = finished(place, "retraining")
    version = place.client.get_model_version_by_alias("roadsign", "champion")
    folder = place.folder / "data" / "retraining" / "roadsign" / decision.info.run_name
    written = (folder / "decision.json").read_bytes()
    digest = hashlib.sha256(written).hexdigest()
    assert {decision.data.tags["decision_sha256"], version.tags["decision_sha256"]} == {digest}
    logged = place.client.download_artifacts(decision.info.run_id, "decision.json", str(place.folder))
    assert Path(logged).read_bytes() == written
    values = json.loads(written)
    assert (values["verdict"], values["champion"], values["forced"]) == ("promoted", None, False)
    assert values["data"]["split"] == "validation"
    assert [cell["cell"] for cell in values["cells"]] == ["clean", "gaussian-max", "fgsm-snr33"]
    assert {cell["unit"] for cell in values["cells"]} == {"group"} and {cell["groups"] for cell in values["cells"]} == {
        43
    }


def test_the_accuracy_is_in_the_status_and_in_the_registry_and_test_images_are_reported_apart(place: Place) -> None:
    (decision,) = finished(place, "retraining")
    version = place.client.get_model_version_by_alias("roadsign", "champion")
    share = f"{decision.data.metrics['accuracy/clean']:.2%}"
    status = json.loads(place.run("--status", "--json").stdout)
    assert status["champion"]["clean_accuracy"].startswith(f"{share} (95 % interval ")
    assert status["champion"]["clean_accuracy"] == version.tags["clean_accuracy"]
    assert version.description.startswith("Promoted: there was no champion. Clean accuracy " + share)
    assert "On test images, which decided nothing: clean accuracy " in version.description
    cells = {"clean", "gaussian-max", "fgsm-snr33"}
    assert {f"test_accuracy/{cell}" for cell in cells} <= decision.data.metrics.keys()
    assert "test" in {file.path for file in place.client.list_artifacts(decision.info.run_id)}
    assert place.run("--json").returncode == 2, "there is no other command that has JSON"


def test_where_nothing_has_changed_nothing_is_done(place: Place) -> None:
    before = place.runs("classifiers"), place.runs("retraining")
    done = place.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "nothing has changed: data, code and settings equal those of version 1, the champion\n"
    assert len(before[0]) == len(place.runs("classifiers")) and len(before[1]) == len(place.runs("retraining"))


def test_images_that_were_touched_but_not_changed_are_the_same_data(place: Place) -> None:
    for path in place.raw.rglob("*.ppm"):
        path.touch()
        break
    done = place.run()
    assert "nothing has changed" in done.stdout
    assert len(finished(place)) == 1


def test_a_worse_challenger_is_not_promoted_and_is_told_why(place: Place) -> None:
    done = place.run(epochs=1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Not promoted: " in done.stdout
    assert place.aliases() == {"champion": "1"}
    decision = place.runs("retraining")[0]
    assert decision.data.tags["promoted"] == "false"
    files = {file.path for file in place.client.list_artifacts(decision.info.run_id)}
    assert {"decision.csv", "decision.parquet", "decision.json", "settings.json", "evaluation"} <= files
    assert "test" not in files and not any(name.startswith("test_") for name in decision.data.metrics)
    again = place.run(epochs=1)
    assert "equal those of version 2 (Not promoted: " in again.stdout and "force=true" in again.stdout


def test_a_better_challenger_takes_the_champions_place_and_can_be_taken_back(place: Place) -> None:
    done = place.run(epochs=16)
    assert "Promoted: better than the champion on 3 of 3 cells" in done.stdout, done.stdout + done.stderr
    assert place.aliases() == {"champion": "3", "previous": "1"}
    command = [*place.command()[:1], str(Path(place.command()[1]).with_name("rollback.py"))]
    subprocess.run(command, cwd=place.folder, env=place.environment(), check=True, capture_output=True)
    assert place.aliases() == {"champion": "1"}
    again = place.run(epochs=16)
    assert "version 3 (it was rolled back)" in again.stdout
    assert place.aliases() == {"champion": "1"}


def test_the_status_reports_the_last_and_the_next_batch(place: Place) -> None:
    said = place.run("--status").stdout
    assert "nothing has changed" in said.splitlines()[0]
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "last run", "next due", "champion", "previous", "pending",
    ]  # fmt: skip
    assert f"version 1 (run {finished(place)[-1].info.run_id}" in said
    assert place.run("--status", epochs=16).returncode == 0


def test_a_batch_that_fails_leaves_the_champion_and_says_so(place: Place) -> None:
    done = place.run('training=["epochs=1", "lr=1e30"]')
    assert done.returncode == 1
    assert "train_classifier ended with exit code 1: loss/train is" in done.stderr
    assert place.aliases() == {"champion": "1"}
    last = place.journal()[-1]
    assert last["outcome"] == "failed" and last["exit_code"] == 1 and "loss/train is" in last["sentence"]


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("make_noisy_datasets.py", 9.0),
        ("epoch 2/8", 0.0),
        ("$ python jobs/make_adversarial_datasets.py", 0.0),
        ("datasets made, 0 were there already, unchanged\ndata", 1.0),
    ],
    ids=["datasets", "training", "attack", "comparison"],
)
def test_a_batch_that_was_killed_is_resumed(text: str, after_s: float, raw: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "killed", raw)
    family = place.killed_at(text, tmp_path / "log", after_s=after_s, epochs=8)
    assert gone(family), "a job outlived its batch"
    before = [run.info.run_id for run in place.runs("classifiers")]
    expired()
    done = place.run(epochs=8)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Promoted: there was no champion." in done.stdout
    runs = place.runs("classifiers")
    assert [run.info.status for run in runs] == ["FINISHED"], "something was trained twice"
    assert not before or before == [runs[0].info.run_id]
    assert len(finished(place, "retraining")) == 1
    assert place.aliases() == {"champion": "1"}
    assert len({run.data.tags["batch_id"] for run in (*runs, *place.runs("retraining"))}) == 1
    epochs = [point.step for point in place.client.get_metric_history(runs[0].info.run_id, "accuracy/validation")]
    assert sorted(set(epochs)) == list(range(1, 9))


def test_a_weak_first_network_is_refused_with_a_table(raw: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "weak", raw)
    done = place.run("gate.minimum_accuracy=0.8", epochs=1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "below the minimum" in done.stdout and "is not above gate.minimum_accuracy=0.8" in done.stdout
    assert place.aliases() == {}
    assert "champion:  none" in place.run("--status").stdout
    assert "(Not promoted: the 95 % interval" in place.run("gate.minimum_accuracy=0.8", epochs=1).stdout


def test_seeds_are_trained_one_after_the_other_and_a_repeated_decision_has_the_same_bytes(
    raw: Path, tmp_path: Path
) -> None:
    place, log, two = Place(tmp_path / "seeds", raw), tmp_path / "log", "seeds=[0,1]"
    assert gone(place.killed_at("seed-1/", log, two, after_s=5.0, epochs=2))
    expired()
    assert gone(place.killed_at("decision.json: SHA-256 ", log, two, epochs=2))
    (path,) = place.folder.glob("data/retraining/roadsign/*/decision.json")
    written = path.read_bytes()
    path.unlink()
    expired()
    done = place.run(two, epochs=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes() == written
    runs = place.runs("classifiers")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    version = place.client.get_model_version_by_alias("roadsign", "champion")
    assert set(version.tags["seed_runs"].split()) == {run.info.run_id for run in runs}
    best = max(runs, key=lambda run: run.data.metrics["accuracy/validation"])
    assert version.tags["seed_runs"].split()[0] == version.run_id == best.info.run_id
    assert {(cell["challenger_seeds"], cell["champion_seeds"]) for cell in json.loads(written)["cells"]} == {(2, 0)}


def test_a_run_that_newer_settings_have_overtaken_does_not_count_as_running(raw: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "overtaken", raw)
    assert gone(place.killed_at("epoch 2/8", tmp_path / "log", epochs=8))
    (killed,) = place.runs("classifiers")
    assert killed.info.status == "RUNNING"
    expired()
    done = place.run(epochs=2)
    assert "Promoted: there was no champion." in done.stdout, done.stdout + done.stderr
    assert {run.info.run_id: run.info.status for run in place.runs("classifiers")} == {
        killed.info.run_id: "KILLED",
        place.client.get_model_version_by_alias("roadsign", "champion").run_id: "FINISHED",
    }


def test_of_two_simultaneous_batches_one_is_refused(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = place.start(log, epochs=2)
    wait_for(log, "$ python jobs/train_classifier.py", first)
    second = place.run(epochs=2)
    assert second.returncode == 75
    assert "retraining is locked by a running batch (process" in second.stderr
    assert "a batch is running (process" in place.run("--status", epochs=2).stdout
    assert first.wait(600) == 0, log.read_text()


def test_a_stopped_schedule_continues_when_restarted(raw: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "scheduled", raw)
    log = tmp_path / "log"
    job = place.start(log, "--scheduled", "schedule.every_h=24", epochs=2)
    wait_for(log, "epoch 1/2", job)
    job.terminate()
    assert job.wait(60) == 143
    assert place.journal()[-1]["ended"] is None
    job = place.start(log, "--scheduled", "schedule.every_h=24", epochs=2)
    wait_for(log, "Promoted: there was no champion.", job)
    assert json.loads(json.dumps(place.journal()[-1]))["exit_code"] == 0
    assert job.poll() is None, "a schedule has no end"
    job.terminate()
    job.wait(60)
    assert [run.info.status for run in place.runs("classifiers")] == ["FINISHED"]


def other_signs(raw: Path, folder: Path, *, dark: bool) -> Path:
    """Other signs of the same kind, or the same signs in the dark."""
    if not dark:
        return SyntheticSigns(root=folder / "signs", test_images_per_class=4, drawing_seed=1).ensure()
    copy = Path(shutil.copytree(raw, folder / "signs"))
    for path in copy.rglob("*.ppm"):
        with Image.open(path) as image:
            night = image.point(lambda value: value // 4)
        night.save(path)
    return copy


def test_images_that_have_drifted_stop_a_batch_where_they_are_to(place: Place, tmp_path: Path) -> None:
    night = Place(place.folder, other_signs(place.raw, tmp_path, dark=True))
    trained = len(place.runs("classifiers"))
    done = night.run("on_drift=block")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "error: Stopped: Drift in " in done.stderr and "channels" in done.stderr
    assert place.aliases() == {"champion": "1"}
    assert len(place.runs("classifiers")) == trained
    decision = place.runs("retraining")[0]
    assert decision.data.tags["promoted"] == "false" and "Drift in" in decision.data.tags["drift"]
    assert "drift.csv" in {file.path for file in place.client.list_artifacts(decision.info.run_id)}
    assert place.journal()[-1]["outcome"] == "drifted"


def test_new_images_that_have_not_drifted_start_no_training_where_drift_is_to(place: Place, tmp_path: Path) -> None:
    others = Place(place.folder, other_signs(place.raw, tmp_path, dark=False))
    trained = len(place.runs("classifiers"))
    done = others.run("on_drift=trigger")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No drift: " in done.stdout and "nothing is trained" in done.stdout
    assert len(place.runs("classifiers")) == trained
