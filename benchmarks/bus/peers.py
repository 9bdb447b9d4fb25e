"""The peers' own environment: another interpreter with their packages and our ring, compiled for it.

pyaeron needs CPython 3.12, so all peers and ours run on the same 3.12. Its package brings Aeron's C media driver, which
runs as a process of its own; nothing else has to be installed or started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("pyaeron==0.1.0", "iceoryx2==0.10.0", "pyzmq==27.3.0", "cython>=3.3,<3.4", "setuptools>=80")
CORE = Path(__file__).parent.parent.parent / "fastfeed_core"
SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize

directives = dict(language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False)
flags = ["-O3", "-std=gnu11", "-fno-strict-aliasing", "-Wno-unused-function", "-Wno-sign-compare"]
source = "fastfeed_core/ring.pyx"
ring = Extension("fastfeed_core.ring", [source], include_dirs=["fastfeed_core"], extra_compile_args=flags)
setup(ext_modules=cythonize([ring], compiler_directives=directives))
"""


def interpreter() -> str | None:
    """Return a CPython of at least 3.12, from PATH or pyenv's folder; None if there is none."""
    for name in ("python3.12", "python3.13", "python3.14"):
        if found := shutil.which(name):
            works = subprocess.run([found, "-c", "import venv"], capture_output=True, check=False)
            if works.returncode == 0:
                return found
    for root in sorted((Path.home() / ".pyenv" / "versions").glob("3.1[2-4].*")):
        if (root / "bin" / "python").exists():
            return str(root / "bin" / "python")
    return None


def make(folder: Path) -> tuple[str, Path] | str:
    """Make the environment in `folder`, or use what is there: (its python, a folder for its path), or why not."""
    base = interpreter()
    if base is None:
        return "no CPython 3.12 or later was found, which pyaeron needs"
    python = folder / "env" / "bin" / "python"
    core = folder / "core"
    try:
        if not python.exists():
            subprocess.run([base, "-m", "venv", str(folder / "env")], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        # Our ring, and nothing else of the core: it needs no other module.
        shutil.rmtree(core, ignore_errors=True)
        (core / "fastfeed_core").mkdir(parents=True)
        for name in ("__init__.py", "__init__.pxd", "ring.h", "ring.pxd", "ring.pyx"):
            shutil.copy(CORE / name, core / "fastfeed_core")
        (core / "setup.py").write_text(SETUP)
        subprocess.run(
            [str(python), "setup.py", "-q", "build_ext", "--inplace"],
            cwd=core,
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(core)},
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the environment of the peers could not be made: {error}"
    return str(python), core
