"""No secret stands in the repository: all files that git knows are searched for what secrets look like, offline."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

from tests.nursery import ROOT

# Passwords in addresses that are nobody's: in documentation and tests.
NOBODYS = frozenset({"password", "secret", "hunter2", "guest", "s3cret", "pw", "x", "wrong", "a%2Fb"})
# They take any address, or any number beside a word, for one.
_GUESSING = frozenset(
    {"IPPublicDetector", "IbmCosHmacDetector", "SoftlayerDetector", "CloudantDetector", "IbmCloudIamDetector"}
)


def detectors() -> list[RegexBasedDetector]:
    """Give those that know a secret by its form; others guess by randomness or names, and find hashes and fixtures."""
    known = get_mapping_from_secret_type_to_class().values()
    named = [kind for kind in known if issubclass(kind, RegexBasedDetector) and kind.__name__ not in _GUESSING]
    return [kind() for kind in named]


def found_in(text: str) -> Iterator[tuple[str, str]]:
    """Give the kind and the text of whatever looks like a secret."""
    for detector in detectors():
        for value in detector.analyze_string(text):
            if not (detector.secret_type == "Basic Auth Credentials" and value in NOBODYS):
                yield str(detector.secret_type), str(value)


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    left: list[tuple[str, str, str]] = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file():
            left += [(name, *each) for each in found_in(path.read_text(errors="replace"))]
    assert left == [], "revoke it first; if it is none, write it so that it looks like none"


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "postgresql://ada:" + "correct-horse@db/name",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    ],
)
def test_what_is_searched_for_is_found(secret: str) -> None:
    assert list(found_in(f"setting = '{secret}'\n"))
