"""What work costs: seconds, processor seconds and memory, in a process of its own.

Only the standard library is imported here, so that a process that measures an import has imported nothing else.
"""

import importlib
import importlib.util
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
# Processes and chains may run side by side; linear algebra within one of them does not.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


def from_tests(stem: str) -> ModuleType:
    """A module of what tests share, which is not in a package."""
    spec = importlib.util.spec_from_file_location(f"tests_{stem}", ROOT / "tests" / f"{stem}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def processor() -> float:
    """Processor seconds of this process, its threads and the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak() -> float:
    """Largest resident memory of this process so far, in MB; Linux only.

    `getrusage` would give the parent's where that is larger, for a process starts as a copy of its parent.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


class Stopwatch:
    """Seconds (`wall`) and processor seconds (`cpu`) of what happens within it."""

    def __enter__(self) -> Self:
        self._start = time.perf_counter(), processor()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._start[0], processor() - self._start[1]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that do nothing but keep a core busy, as on a machine that others use."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


def fresh(work: Callable[..., Any], *arguments: Any, caches: Path | None = None,
          threads: Mapping[str, str] = ONE_THREAD, limit: int | None = None) -> Any:
    """What `work`, a function of a module, returns in a fresh interpreter.

    Parameters
    ----------
    caches
        Folder in which compilers find and leave what they make; by default one that is empty, so that all compiles.
    threads
        What the environment says of threads of linear algebra; {} leaves that to the libraries.
    limit
        Processor seconds after which the interpreter is stopped, which raises `subprocess.CalledProcessError`.
    """
    module = sys.modules["__main__"].__spec__.name if work.__module__ == "__main__" else work.__module__
    with tempfile.TemporaryDirectory() as folder:
        order, answer, made = Path(folder, "order"), Path(folder, "answer"), caches or Path(folder, "caches")
        order.write_bytes(pickle.dumps((module, work.__name__, arguments)))
        # Bytecode is written, as it is for everybody: imports would cost several times as much.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {**threads, "NUMBA_CACHE_DIR": str(made / "numba"),
                                     "PYTENSOR_FLAGS": f"base_compiledir={made / 'pytensor'}"}
        command = [sys.executable, "-m", "benchmarks.measure", order, answer]
        most = resource.RLIM_INFINITY if limit is None else limit
        subprocess.run(command, cwd=ROOT, env=environment, check=True,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (most, most)))
        return pickle.loads(answer.read_bytes())


def medians(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of every number over the repetitions that have it; text as it is in the first."""
    result = {}
    for name, value in found[0].items():
        numbers = [one[name] for one in found if isinstance(one[name], int | float)]
        result[name] = median(numbers) if numbers else value
    return result


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole, where there are both."""
    return part / whole if part is not None and whole else None


if __name__ == "__main__":
    module, name, arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(pickle.dumps(getattr(importlib.import_module(module), name)(*arguments)))
