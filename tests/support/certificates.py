"""Certificates for tests, made by the openssl command."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Pair(NamedTuple):
    """A certificate that signs itself, so it is its own authority, and its key."""

    certificate: Path
    key: Path


def make_pair(folder: Path, name: str, *, hosts: str = "IP:127.0.0.1,DNS:localhost") -> Pair:
    """For the loopback unless `hosts` says otherwise."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the openssl command to make a certificate")
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    options = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    files = ["-addext", f"subjectAltName={hosts}", "-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run([openssl, *options, *files], check=True, capture_output=True)
    return pair
