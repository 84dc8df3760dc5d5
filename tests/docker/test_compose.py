"""compose.yaml, read as data, since a container engine may not be available."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.settings import load
from training.retraining.settings import Retrain

DOCKER = Path(__file__).parents[2] / "docker"
CONF = DOCKER.parent / "conf"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FOREIGN = {"postgres", "s3"}
"""Their images are others' work, with health checks of compose.yaml."""


def started(service: dict[str, Any]) -> list[str]:
    """The arguments of start.sh, the entry point of the images."""
    command = [*service.get("entrypoint", ["start.sh"]), *service["command"]]
    return command[1 + next(place for place, word in enumerate(command) if word.endswith("start.sh")) :]


def script(service: dict[str, Any]) -> Path:
    return DOCKER / "services" / f"{started(service)[0]}.sh"


def test_the_services_and_the_services_on_demand_are_these() -> None:
    default = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert default == {"spark-master", "spark-worker", "mlflow", "postgres", "scheduler"}
    assert SERVICES.keys() - default == {"trainer", "s3", "s3-bucket"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_only_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port
    assert SERVICES[name].get("network_mode") != "host"


@pytest.mark.parametrize("name", SERVICES)
def test_there_is_no_secret_in_the_file(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY$|KEY_FILE|TOKEN", variable):
            assert variable.endswith("_FILE"), variable
            secret = value.removeprefix("/run/secrets/")
            assert secret in SERVICES[name]["secrets"] or name == "s3-bucket", f"{name} is not given {secret}"
            assert secret in COMPOSE["secrets"], secret
        assert not re.search(r"//[^/:@]*:[^/@]*@", str(value)), f"{variable} has a password in an address"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_restarts_has_no_privilege_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == {"trainer": "no", "s3-bucket": "on-failure"}.get(name, "unless-stopped")
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert name not in FOREIGN or service["healthcheck"]["test"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "s3"])
def test_a_service_is_a_script(name: str) -> None:
    assert script(SERVICES[name]).is_file()


def test_the_scheduler_repeats_the_job_that_the_trainer_does_once() -> None:
    name, *arguments = started(SERVICES["scheduler"])
    defaults = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", argument) for argument in arguments]
    assert load(Retrain, CONF / "retrain.yaml", defaults) == load(Retrain, CONF / "retrain.yaml")
    assert name == "scheduler" and 'trainer.sh" retrain --scheduled' in script(SERVICES["scheduler"]).read_text()
    assert started(SERVICES["trainer"]) == ["trainer", "retrain"]


def test_what_is_built_is_there() -> None:
    builds = [service["build"] for service in SERVICES.values() if "build" in service]
    assert len(builds) >= 5
    for build in builds:
        dockerfile = (DOCKER / build["context"] / build["dockerfile"]).resolve()
        assert dockerfile.is_file()
        arguments = re.findall(r"^ARG (\w+)", dockerfile.read_text(), re.MULTILINE)
        assert set(build["args"]) <= set(arguments)


def test_dependencies_have_health_checks_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for awaited in service.get("depends_on", {}):
            other = SERVICES[awaited]
            assert "build" in other or "healthcheck" in other, awaited
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source[0] in "./$" or source in COMPOSE["volumes"], volume


def test_data_and_runs_survive_their_containers() -> None:
    kept = {volume.split(":")[1] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {"/var/lib/postgresql/data", "/srv/mlflow/artifacts", "/srv/roadsign/data"} <= kept


@pytest.mark.parametrize("name", ["mlflow", "postgres", "spark-master", "spark-worker", "scheduler", "s3-bucket"])
def test_a_script_gets_the_variables_that_it_requires(name: str) -> None:
    """Variables without a default, and secrets, in the script and the files that it sources."""
    own = script(SERVICES[name]).read_text()
    if "trainer.sh" in own:
        own = (DOCKER / "services" / "trainer.sh").read_text()
    sourced = (DOCKER / "services" / "spark-conf.sh").read_text() if "spark-conf.sh" in own else ""
    given = SERVICES[name].get("environment", {})
    for variable in re.findall(r"\$\{([A-Z]\w+):\?", own + sourced):
        assert variable in given, variable
    for secret in re.findall(r"\$\(secret (\w+)\)", own + sourced):
        assert f"{secret}_FILE" in given, secret


def test_secrets_are_made_once_and_readable_only_by_their_owner(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["bash", str(DOCKER / "make_secrets.sh"), str(folder)]
    subprocess.run(command, check=True)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert first.keys() == COMPOSE["secrets"].keys()
    assert len(set(first.values())) == len(first) and all(len(secret) > 30 for secret in first.values())
    assert folder.stat().st_mode & 0o777 == 0o700
    subprocess.run(command, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first


def test_no_secret_is_in_git() -> None:
    assert "/docker/secrets/" in (DOCKER.parent / ".gitignore").read_text().splitlines()
