"""The server's image and its examples for clusters: their rules, and that the commands in them are commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import typer.main
import yaml

from densecast.cli import app

FOLDER = Path(__file__).parents[2] / "containers" / "serve"


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")) if each]


def containers() -> list[dict[str, Any]]:
    deployment = documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"]
    return [*deployment, *documents("kserve.yaml")[0]["spec"]["containers"]]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The arguments as the command understands them; it ends the test if it does not."""
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    found: dict[str, Any] = command.make_context("serve", list(arguments)).params
    return found


def test_the_server_checks_its_health_and_needs_its_extra_named() -> None:
    (health,) = dockerfile.words("serve", "HEALTHCHECK")
    code = json.loads(health[health.index("CMD ") + 4 :])[2]
    compile(code, "healthcheck", "exec")
    assert "/v2/health/ready" in code
    assert dockerfile.words("serve", "ENTRYPOINT") == ['["densecast", "serve"]']
    comment = dockerfile.FILE.read_text(encoding="utf-8").split("FROM")[0]
    assert "--target serve --build-arg EXTRAS=serve" in comment and "--token-file" in comment


@pytest.mark.parametrize("container", containers(), ids=lambda each: each["name"])
def test_containers_of_the_cluster_have_no_rights_and_bounds(container: dict[str, Any]) -> None:
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True and rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]["limits"]) == {"cpu", "memory"} and ":latest" not in container["image"]
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert {"/tmp", "/cache"} <= mounted
    for probe, path in (("readinessProbe", "ready"), ("livenessProbe", "live")):
        assert container[probe]["httpGet"]["path"] == f"/v2/health/{path}"


@pytest.mark.parametrize("container", containers(), ids=lambda each: each["name"])
def test_their_arguments_are_the_commands(container: dict[str, Any]) -> None:
    options = parsed(container["args"])
    port = next(each["containerPort"] for each in container["ports"])
    assert options["options_host"] == "0.0.0.0" and options["options_port"] == port
    assert bool(options["options_token_file"]) != options["options_insecure"]


def test_a_pod_outlives_the_servers_own_grace() -> None:
    pod = documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
    wait_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > wait_s + 20
    labels = documents("kubernetes.yaml")[0]["spec"]["template"]["metadata"]["labels"]
    assert documents("kubernetes.yaml")[1]["spec"]["selector"] == labels
