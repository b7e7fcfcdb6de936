"""What holds for every test of the compiled code."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

import hatch_build
from tests.native.sources import SOURCES


@pytest.fixture(scope="package", params=[16, 32])
def narrow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library compiled as for a processor whose registers have so many bytes."""
    if shutil.which("cc") is None:
        pytest.skip("there is no compiler")
    built = tmp_path_factory.mktemp("native") / "narrow.so"
    subprocess.run(["cc", *hatch_build.FLAGS, f"-DWIDEST={request.param}", "-o", built, *SOURCES, "-lm"], check=True)
    return ctypes.CDLL(str(built))
