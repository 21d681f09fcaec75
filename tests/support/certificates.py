"""Certificates to test with, made by the openssl command."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Pair(NamedTuple):
    """The files of a self-signed certificate and of its key, PEM."""

    cert: Path
    key: Path


def make_certificate(folder: Path, name: str = "box", *, days: int = 90, of: str = "IP:127.0.0.1") -> Pair:
    """Make a self-signed certificate for the host `of`, with the subject `name`; skip the test without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED: certificates, because openssl is not installed (apt install openssl)")
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName={of}"]
    command += ["-out", str(pair.cert), "-keyout", str(pair.key)]
    subprocess.run(command, check=True, capture_output=True)
    return pair
