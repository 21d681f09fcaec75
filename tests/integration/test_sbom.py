"""The bill of materials lists everything that is shipped and no build tools, in the same bytes every time."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest

from tests.support.checkout import ROOT

SCHEMAS = Path(next(iter(cyclonedx.schema.__path__))) / "_res"
TOOLS = {"cyclonedx-python-lib", "editables", "hatchling", "packageurl-python", "pluggy"}  # the extra "build"


def sbom(output: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "debian/sbom.py"), *options, str(output)]
    inherited = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return subprocess.run(command, env=inherited | environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("sbom") / "bill.json"
    done = sbom(output)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def locked() -> set[tuple[str, str]]:
    return set(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def _is_python(component: dict[str, Any]) -> bool:
    return str(component.get("purl", "")).startswith("pkg:pypi/")


def test_is_valid_cyclonedx(bill: dict[str, Any]) -> None:
    names = [f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]
    schema, *others = [json.loads((SCHEMAS / name).read_text()) for name in names]
    base = schema["$id"].rpartition("/")[0]
    registry = jsonschema_rs.Registry([(f"{base}/{name}", each) for name, each in zip(names[1:], others, strict=True)])
    jsonschema_rs.validator_for(schema, registry=registry).validate(bill)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_has_the_locked_versions_and_no_build_tools(bill: dict[str, Any]) -> None:
    shipped = {each["name"]: each["version"] for each in bill["components"] if _is_python(each)}
    assert shipped.items() <= locked()
    assert {"numpy", "onnxruntime", "pillow", "requests", "tornado", "certifi", "urllib3"} <= shipped.keys()
    assert not TOOLS & shipped.keys()


def test_every_package_has_a_license_and_the_locked_hashes(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for each in bill["components"]:
        assert each["licenses"], each["name"]
        hashes = each.get("hashes") or each["externalReferences"][0]["hashes"]
        assert hashes
        assert not _is_python(each) or all(f"sha256:{one['content']}" in lock for one in hashes)


def test_lists_the_library_of_the_charts_with_its_hash(bill: dict[str, Any]) -> None:
    (charts,) = [each for each in bill["components"] if each["name"] == "uplot"]
    script = (ROOT / "camiohookd/web/page/static/uPlot.iife.min.js").read_bytes()
    assert charts["purl"] == f"pkg:npm/uplot@{charts['version']}"
    assert charts["hashes"][0]["content"] == hashlib.sha256(script).hexdigest()


def test_lists_the_model_with_its_hash(bill: dict[str, Any]) -> None:
    (model,) = [each for each in bill["components"] if each["type"] == "machine-learning-model"]
    description = (ROOT / "models" / model["name"] / "model.toml").read_text()
    assert model["hashes"][0]["content"] in description


def test_dependencies_lead_from_the_program_to_every_component(bill: dict[str, Any]) -> None:
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    reached, ahead = set(), [bill["metadata"]["component"]["bom-ref"]]
    while ahead:
        reached.add(one := ahead.pop())
        ahead += [each for each in needs[one] if each not in reached]
    assert reached == {"camiohookd", *(each["bom-ref"] for each in bill["components"])}


def test_is_reproducible_and_has_no_time_but_source_date_epoch(tmp_path: Path) -> None:
    first, second, later = (tmp_path / name for name in ("first", "second", "later"))
    sbom(first)
    sbom(second, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    sbom(later, SOURCE_DATE_EPOCH="1795384800", TZ="Asia/Tokyo")
    assert first.read_bytes() == second.read_bytes()
    assert "timestamp" not in json.loads(first.read_text())["metadata"]
    assert json.loads(later.read_text())["metadata"]["timestamp"] == "2026-11-22T22:00:00+00:00"


def test_accepts_a_folder_of_packages_and_debian_versions(tmp_path: Path) -> None:
    output = tmp_path / "bill.json"
    assert sbom(output, "--debian", "python3.11=3.11.2-6+deb12u6").returncode == 0
    assert "pkg:deb/debian/python3.11@3.11.2-6%2Bdeb12u6?arch=source" in output.read_text()
    refused = sbom(output, "--installed", str(tmp_path))
    assert refused.returncode == 1
    assert "is not installed; ./build.sh venv installs" in refused.stderr


def test_build_sh_names_it_by_the_version_in_the_changelog() -> None:
    done = subprocess.run([str(ROOT / "build.sh"), "sbom"], capture_output=True, text=True, check=True)
    written = Path(done.stdout.strip())
    assert written.parent == ROOT / "dist"
    assert re.fullmatch(r"camiohookd_[0-9][0-9.~]*\.cdx\.json", written.name)
    assert json.loads(written.read_text())["metadata"]["component"]["version"] in written.name
