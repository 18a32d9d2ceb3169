"""The page about Kubernetes: its manifests against Kubernetes' schemas, and what they say of servers against servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needed import need
from pages import files, write_files
from recipes.servers import RECIPES, free_port, program, serving

from nupic_client import LocalServer, StreamingClient
from nupic_client.testing import FakeTriton, text_signature

need("web")

import grpc
import httpx
import kubernetes_validate
import yaml

PAGE = RECIPES / "kubernetes.md"
MANIFESTS = {
    name: [*yaml.safe_load_all(text)] for name, text in files(PAGE).items() if name.endswith(".yaml")
}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, documents in MANIFESTS.items():
        for document in documents:
            if document["kind"] != "Service":
                yield (
                    name,
                    document["spec"] if document["kind"] == "Pod" else document["spec"]["template"]["spec"],
                )


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schemas(name: str, version: str) -> None:
    for document in MANIFESTS[name]:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_does_not_fit() -> None:
    (pod,) = yaml.safe_load_all(files(PAGE)["sidecar.yaml"].replace("startupProbe", "startProbe"))
    with pytest.raises(kubernetes_validate.utils.ValidationError):
        kubernetes_validate.validate(pod, "1.29", strict=True)


def test_the_service_has_the_pods_and_their_port() -> None:
    deployment, service = MANIFESTS["triton.yaml"]
    template = deployment["spec"]["template"]
    assert service["spec"]["clusterIP"] == "None"
    assert (
        service["spec"]["selector"]
        == deployment["spec"]["selector"]["matchLabels"]
        == template["metadata"]["labels"]
    )
    (container,) = template["spec"]["containers"]
    assert service["spec"]["ports"][0]["port"] in {port["containerPort"] for port in container["ports"]}
    assert container["readinessProbe"]["grpc"]["port"] == container["startupProbe"]["grpc"]["port"] == 8001


def test_there_is_time_for_answers_to_end() -> None:
    _, pod = next(pods())
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    (limit,) = (int(arg.partition("=")[2]) for arg in container["args"] if arg.startswith("--exit-timeout"))
    assert pod["terminationGracePeriodSeconds"] > pause + limit


def test_the_url_of_the_application_is_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [
        each["value"]
        for _, pod in pods()
        for container in pod["containers"]
        for each in container.get("env", [])
    ]
    assert len(urls) == 2
    for url in urls:
        monkeypatch.setenv("NUPIC_URL", url)
        with StreamingClient("smollm2") as client:
            assert client.url == url


def check(target: str) -> bytes:
    """Ask as the kubelet does; the answer is the bytes of a message, with 1 in field 1 for SERVING."""
    with grpc.insecure_channel(target) as channel:
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30)


@pytest.mark.parametrize("kind", ["FakeTriton", pytest.param("LocalServer", marks=pytest.mark.model)])
def test_the_probe_is_answered(kind: str) -> None:
    with FakeTriton() if kind == "FakeTriton" else LocalServer() as server:
        assert check(server.url) == b"\x08\x01"


def test_the_probe_says_not_ready() -> None:
    with FakeTriton(ready=False) as server:
        assert check(server.url) == b"\x08\x02"


def test_the_readiness_of_the_application_follows_the_model(tmp_path: Path) -> None:
    port = free_port()
    with FakeTriton(models=[text_signature("smollm2.streaming")]) as triton:
        folder = write_files(PAGE, tmp_path, triton.url)
        command = [program("uvicorn"), "app:app", "--host", "127.0.0.1", "--port", str(port)]
        with serving(command, port, folder) as url:
            assert httpx.get(f"{url}/ready", trust_env=False, timeout=30).status_code == 200
            triton.models_ready["smollm2.streaming"] = False
            assert httpx.get(f"{url}/ready", trust_env=False, timeout=30).status_code == 503
            triton.stop()
            assert httpx.get(f"{url}/ready", trust_env=False, timeout=30).status_code == 503
