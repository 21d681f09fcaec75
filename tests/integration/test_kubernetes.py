"""The example for Kubernetes: it fits the published schemas, this program's settings, and its commands.

No cluster runs here. The image's root folder is tried in tests/appliance.
"""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from camiohookd.cli import root
from camiohookd.config import load
from tests.support.checkout import ROOT

EXAMPLE = ROOT / "fleet/kubernetes.yaml"
FOLDER = ROOT / "tests/kubernetes"
INFERENCE = jsonschema_rs.validator_for((FOLDER / "inferenceservice.json").read_text())

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """Return the objects by kind and name."""
    found: list[Document] = [msgspec.yaml.decode(each) for each in EXAMPLE.read_text().split("\n---\n")]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def pod() -> Document:
    spec: Document = documents()["StatefulSet/camiohookd"]["spec"]["template"]["spec"]
    return spec


def container() -> Document:
    [only] = pod()["containers"]
    assert isinstance(only, dict)
    return only


@pytest.fixture(scope="module")
def validate(long_run: bool, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the program that validates by Kubernetes' schemas, in an environment of its own."""
    if not long_run:
        pytest.skip("NOT TESTED: the example by Kubernetes' schemas, which are installed in a long run (--long) only")
    folder = tmp_path_factory.mktemp("validate")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*pip, *locked, "--requirement", str(FOLDER / "requirements.lock")], check=True)
    return str(folder / "bin/kubernetes-validate")


def of_kubernetes(folder: Path, found: dict[str, Document]) -> Path:
    """Write the objects that Kubernetes itself defines into a file."""
    file = folder / "objects.yaml"
    own = [msgspec.yaml.encode(each) for each in found.values() if each["kind"] != "InferenceService"]
    file.write_bytes(b"---\n".join(own))
    return file


def test_the_objects_fit_kubernetes_schemas(validate: str, tmp_path: Path) -> None:
    subprocess.run([validate, "--strict", of_kubernetes(tmp_path, documents())], check=True)


@pytest.mark.parametrize(
    ("kind", "path", "key"),
    [
        ("StatefulSet/camiohookd", ("spec", "template", "spec"), "terminationGracePeriod"),
        ("PodDisruptionBudget/camiohookd", ("spec",), "maxUnavailables"),
        ("Service/boxes", ("spec",), "selectors"),
    ],
)
def test_a_misspelled_key_does_not_fit(
    kind: str, path: tuple[str, ...], key: str, validate: str, tmp_path: Path
) -> None:
    found = documents()
    place = found[kind]
    for each in path:
        place = place[each]
    place[key] = 1
    assert subprocess.run([validate, "--strict", of_kubernetes(tmp_path, found)], check=False).returncode != 0


def test_the_inference_service_fits_kserves_schema() -> None:
    service = documents()["InferenceService/ssdlite"]
    assert INFERENCE.is_valid(service)
    wrong = copy.deepcopy(service)
    wrong["spec"]["predictor"]["model"]["storageURI"] = wrong["spec"]["predictor"]["model"].pop("storageUri")
    assert not INFERENCE.is_valid(wrong)


def test_the_settings_are_real(tmp_path: Path) -> None:
    file = tmp_path / "camiohookd.toml"
    file.write_text(documents()["ConfigMap/camiohookd"]["data"]["camiohookd.toml"])
    [key] = container()["env"]
    config, keys = load.load_with_keys(file, {key["name"]: "a-key-for-tests-0123456789"})
    assert list(keys.values()) == ["a-key-for-tests-0123456789"]
    [port] = container()["ports"]
    assert config.hook.listen.port == port["containerPort"]
    server = documents()["InferenceService/ssdlite"]["metadata"]
    remote = config.labeler.remote
    assert remote.model_name == server["name"]
    assert remote.endpoints == (f"http://{server['name']}-predictor.{server['namespace']}.svc.cluster.local:80",)


def test_the_command_before_the_end_is_one_of_this_program() -> None:
    program, name, *options = container()["lifecycle"]["preStop"]["exec"]["command"]
    command = root.get_command(root.make_context("camiohookd", ["drain"], resilient_parsing=True), name)
    assert program == "/usr/bin/camiohookd"
    assert command is not None
    given = command.make_context(name, options).params
    assert given["wait"]
    assert given["grace"] + given["timeout"] < pod()["terminationGracePeriodSeconds"]


def test_the_parts_fit_each_other() -> None:
    found = documents()
    spec = found["StatefulSet/camiohookd"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget/camiohookd"]["spec"]["selector"]["matchLabels"] == labels
    assert found[f"Service/{spec['serviceName']}"]["spec"]["selector"] == labels
    assert {each["metadata"]["namespace"] for each in found.values()} == {"camiohookd"}
    volumes = [*pod()["volumes"], *(each["metadata"] for each in spec["volumeClaimTemplates"])]
    assert {each["name"] for each in volumes} == {each["name"] for each in container()["volumeMounts"]}
