"""Write the bill of materials of all shipped third-party software as CycloneDX 1.6 in JSON.

    python3 debian/sbom.py [--installed FOLDER] [--left-out NAME ...] [--debian NAME=VERSION ...] [OUTPUT]

pyproject.toml ─▶ the installed dependencies, direct and indirect ─▶ versions and licenses
                  requirements.lock ─▶ the hashes of their files; models/ ─▶ the models ─▶ OUTPUT

OUTPUT is dist/camiohookd_VERSION.cdx.json by default. One checkout always gives the same bytes: nothing is random, and
the time is SOURCE_DATE_EPOCH's or left out.
"""

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import Distribution, distributions
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
ONE_LINE = 60  # a longer value is the text of a license, not its name

_PINNED = re.compile(r"^([\w.-]+)==(\S+)[^\n]*((?:\n +--hash=\S+[^\n]*)+)", re.MULTILINE)

_licenses = LicenseFactory()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--installed", type=Path, help="the folder of the installed packages (default: this Python's)")
    parser.add_argument(
        "--debian", action="append", default=[], metavar="NAME=VERSION", help="a bundled Debian source package"
    )
    parser.add_argument(
        "--left-out", action="append", default=[], metavar="NAME", help="a package that is required but not shipped"
    )
    parser.add_argument("output", type=Path, nargs="?")
    chosen = parser.parse_args()
    output = chosen.output or ROOT / f"dist/camiohookd_{changelog_version()}.cdx.json"
    bom = bill([str(chosen.installed)] if chosen.installed else sys.path, chosen.debian, frozenset(chosen.left_out))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
    print(output)


def bill(path: list[str], debian: Iterable[str], left_out: frozenset[str] = frozenset()) -> Bom:
    """Return the bill of the packages installed in `path`, of the models and of the Debian sources."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = {canonicalize_name(each.name): each for each in distributions(path=path)}
    root = Component(
        name=project["name"],
        version=changelog_version(),
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=[_licenses.make_from_string(project["license"])],
    )
    bom = Bom(metadata=BomMetaData(component=root))
    components = dict(_python_components(project["dependencies"], packages, _pinned(), left_out))
    others = [*_models(), _uplot(), *map(_debian_source, debian)]
    bom.components.update(components.values(), others)
    bom.register_dependency(root, [*(components[name] for name in _required(project["dependencies"])), *others])
    for name, component in components.items():
        required = set(_required(packages[name].requires or [])) - left_out
        bom.register_dependency(component, [components[each] for each in sorted(required)])
    bom.serial_number = uuid5(NAMESPACE_URL, "\n".join(sorted(str(each.bom_ref.value) for each in bom.components)))
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    time = datetime.fromtimestamp(int(epoch), UTC) if epoch else None
    bom.metadata.timestamp = time  # type: ignore[assignment]  # None leaves it out, although the type hint does not allow it
    return bom


def changelog_version() -> str:
    return (ROOT / "debian/changelog").read_text().partition("(")[2].partition(")")[0]


def _python_components(
    wanted: Iterable[str],
    packages: dict[NormalizedName, Distribution],
    pinned: dict[tuple[str, str], list[str]],
    left_out: frozenset[str],
) -> Iterator[tuple[NormalizedName, Component]]:
    """Yield the `wanted` packages and all that they require, each once, by name."""
    names, seen = [*_required(wanted)], set(left_out)
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in packages:
            raise SystemExit(f"sbom: {name} is not installed; ./build.sh venv installs what requirements.lock lists")
        package = packages[name]
        if (name, package.version) not in pinned:
            raise SystemExit(f"sbom: {name} {package.version} is installed, but requirements.lock does not list it")
        yield name, _python_component(name, package, pinned[name, package.version])
        names += _required(package.requires or [])


def _required(requirements: Iterable[str]) -> list[NormalizedName]:
    """Return the names of the requirements, without those for other machines or extras."""
    parsed = map(Requirement, requirements)
    return [canonicalize_name(each.name) for each in parsed if not each.marker or each.marker.evaluate({"extra": ""})]


def _pinned() -> dict[tuple[str, str], list[str]]:
    """Return the SHA-256 of each file that the lock allows, by name and version."""
    found = _PINNED.findall((ROOT / "requirements.lock").read_text())
    return {(name, version): re.findall(r"sha256:([0-9a-f]{64})", hashes) for name, version, hashes in found}


def _python_component(name: str, package: Distribution, hashes: list[str]) -> Component:
    purl = PackageURL("pypi", name=name, version=package.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="any of the files that requirements.lock allows, by platform",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
    )
    return Component(
        name=name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licenses_of(package),
        external_references=[files],
    )


def _licenses_of(package: Distribution) -> list[License]:
    """Return the licenses in the package's metadata (PEP 639, or the older fields)."""
    told = [package.metadata[field] for field in ("License-Expression", "License") if package.metadata[field]]
    short = [each for each in told if len(each) <= ONE_LINE and "\n" not in each]
    classes = [each for each in package.metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    names = short[:1] or [each.rpartition(" :: ")[2] for each in classes]
    return [_licenses.make_from_string(each, license_acknowledgement=LicenseAcknowledgement.DECLARED) for each in names]


def _models() -> Iterator[Component]:
    for path in sorted(ROOT.glob("models/*/model.toml")):
        model = tomllib.loads(path.read_text())
        yield Component(
            name=path.parent.name,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"model:{path.parent.name}",
            description=model["source"],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=model["sha256"])],
            licenses=[_licenses.make_from_string(model["licence"])],
        )


def _uplot() -> Component:
    """Describe the charts' library, which the status page carries as npm has it."""
    script = (ROOT / "camiohookd/web/page/static/uPlot.iife.min.js").read_bytes()
    found = re.search(rb"uPlot \(v([0-9.]+)\)", script)
    assert found is not None, "the first line of the script tells its version"
    purl = PackageURL("npm", name="uplot", version=found[1].decode())
    return Component(
        name="uplot",
        version=found[1].decode(),
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(script).hexdigest())],
        licenses=[_licenses.make_from_string("MIT")],
    )


def _debian_source(told: str) -> Component:
    name, _, version = told.partition("=")
    purl = PackageURL("deb", "debian", name, version, {"arch": "source"})
    return Component(name=name, version=version, type=ComponentType.LIBRARY, bom_ref=str(purl), purl=purl)


if __name__ == "__main__":
    main()
