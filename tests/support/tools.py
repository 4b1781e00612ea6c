"""Commands of the system that some tests run as a reader of the docs would."""

import shutil

import pytest

needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="needs the commands curl and bash, as the page does"
)
