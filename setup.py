"""Extensions by glob; three environment switches choose another build.

FASTFEED_SANITIZE=1  address and undefined-behaviour sanitizers
FASTFEED_TRACE=1     line tracing for coverage
FASTFEED_DEBUG=1     bounds and overflow checks, no optimisation
FASTFEED_NATIVE=1    instructions of this machine (never for wheels)
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZE, TRACE, DEBUG, NATIVE = (
    os.environ.get(f"FASTFEED_{switch}") == "1" for switch in ("SANITIZE", "TRACE", "DEBUG", "NATIVE")
)

compile_args = ["-O3", "-g1", "-std=gnu11", "-fno-strict-aliasing", "-Wno-unused-function", "-Wno-sign-compare"]
link_args: list[str] = []
macros: list[tuple[str, str | None]] = []
directives = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": False,
}

if NATIVE:
    compile_args.append("-march=native")
if SANITIZE:
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    compile_args += [*flags, "-O1", "-fno-sanitize-recover=undefined"]
    link_args += flags
if DEBUG:
    compile_args.append("-O0")
    directives |= {"boundscheck": True, "overflowcheck": True, "initializedcheck": True}
if TRACE:
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    directives["linetrace"] = True

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=["fastfeed_core"],
        depends=[str(header) for header in Path("fastfeed_core").glob("*.h")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
    )
    for path in sorted(Path("fastfeed_core").rglob("*.pyx"))
]

setup(
    ext_modules=cythonize(extensions, compiler_directives=directives, nthreads=2 if not TRACE else 0),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
