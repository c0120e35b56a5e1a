"""Write the bill of materials, build/authserver.cdx.json: CycloneDX 1.6, of what the lock files hold and the image compiles."""

import sys
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from authserver import __version__
from deploy import build_argon2
from tests.supply.licences import licence_of
from tests.supply.locked import OURS, ROOT, RUNTIME, Package, read

FILE = ROOT / "build" / "authserver.cdx.json"

_licences = LicenseFactory()


def component_of(package: Package, *, is_required: bool) -> Component:
    """One package. Without a licence, and optional, where its marker does not hold: nothing of it is here to read. Raises Unknown."""
    distribution = package.distribution()
    purl = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        name=package.name,
        version=package.version,
        purl=purl,
        scope=ComponentScope.REQUIRED if distribution and is_required else ComponentScope.OPTIONAL,
        licenses=[_licences.make_with_expression(licence_of(package.name, distribution))] if distribution else [],
        # Of every file that pip may take for it: which one that is depends on the machine.
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
        properties=[Property(name=f"{OURS}:marker", value=package.marker)] if package.marker else [],
    )


def compiled() -> Component:
    """Argon2's library, as deploy/build_argon2.py makes it of the sources in a package."""
    purl = PackageURL("github", namespace="p-h-c", name="phc-winner-argon2", version=build_argon2.OF_ARGON2)
    source = PackageURL("pypi", name=build_argon2.PACKAGE, version=build_argon2.VERSION)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        name="libargon2",
        version=build_argon2.OF_ARGON2,
        purl=purl,
        scope=ComponentScope.OPTIONAL,
        licenses=[_licences.make_with_expression("CC0-1.0 OR Apache-2.0")],
        properties=[Property(name=f"{OURS}:source", value=f"{source} sha256:{build_argon2.SHA256}")],
    )


def bill_of(packages: list[Package]) -> Bom:
    root = Component(
        type=ComponentType.APPLICATION,
        bom_ref=OURS,
        name=OURS,
        version=__version__,
        licenses=[_licences.make_with_expression("MIT")],
    )
    required = {package.name for package in read(RUNTIME)}
    components = {package.name: component_of(package, is_required=package.name in required) for package in packages}
    argon2 = compiled()
    bom = Bom(components=[*components.values(), argon2])
    bom.metadata.component = root
    for owner, component in {OURS: root, **components}.items():
        wanted = [components[package.name] for package in packages if owner in package.wanted_by]
        bom.register_dependency(component, [*wanted, argon2] if owner == OURS else wanted)
    return bom


def write(packages: list[Package], file: Path = FILE) -> int:
    """Gives the number of components. Raises ValueError when what would be written is not valid CycloneDX."""
    bom = bill_of(packages)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if found is not None:
        raise ValueError(f"the bill of materials is not valid CycloneDX 1.6: {found.data.message}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")
    return len(bom.components)


if __name__ == "__main__":
    print(f"{FILE.relative_to(ROOT)}: {write(read())} components, valid CycloneDX 1.6")
    sys.exit(0)
