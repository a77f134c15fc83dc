"""Verbs run on one BLAS thread, and whatever interrupts them ends them: no library turns it into a result."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from inspect import isfunction
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import bayes_personal as bp
from bayes_personal.system.running import interruptible, one_blas_thread, verb

ROOT = Path(__file__).parents[1]
INSTANT = {"datasets", "load_dataset", "load"}


@pytest.fixture(autouse=True, scope="module")
def receiving() -> Iterator[None]:
    """SIGINT as Python handles it, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture
def several_threads() -> Iterator[set[int]]:
    """As BLAS comes, whatever the machine and the tests before."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        # A BLAS that was built for one thread has nothing to limit.
        yield before
        assert blas_threads() == before


def test_every_function_of_the_package_is_a_verb() -> None:
    found = {name: getattr(bp, name) for name in bp.__all__ if isfunction(getattr(bp, name))}
    assert len(found) > 10
    assert {name for name, each in found.items() if not hasattr(each, "__wrapped__")} == INSTANT


def test_a_verb_has_one_blas_thread_and_gives_the_others_back(several_threads: set[int]) -> None:
    @verb
    def seen(again: bool) -> set[int]:
        return seen(False) | blas_threads() if again else blas_threads()

    assert seen(True) == {1}
    assert blas_threads() == several_threads

    @verb
    def failing() -> None:
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        failing()


def test_python_threads_that_overlap_give_blas_its_threads_back(several_threads: set[int]) -> None:
    """The first to enter is not the last to leave."""
    entered, leave = threading.Event(), threading.Event()
    found: list[set[int]] = []

    def second() -> None:
        with one_blas_thread():
            found.append(blas_threads())
            entered.set()
            leave.wait()

    with one_blas_thread():
        other = threading.Thread(target=second)
        other.start()
        entered.wait()
    assert found == [{1}] and blas_threads() == several_threads
    leave.set()
    other.join()
    assert blas_threads() == several_threads


def swallowing() -> str:
    """As samplers do: Ctrl-C ends the waiting, and what there is counts as a result."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    return "draws"


def replacing() -> str:
    """As a conversion does that finds the result too short."""
    swallowing()
    raise ValueError("could not broadcast")


@pytest.mark.parametrize("library", [swallowing, replacing])
def test_an_interrupt_that_a_library_swallows_is_raised(library) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        verb(library)()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_ends_the_block_that_it_is_swallowed_in() -> None:
    """A loop of fits does not go on with the next one."""
    done = []

    @verb
    def loop() -> None:
        for step in range(3):
            with interruptible():
                swallowing()
            done.append(step)

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert done == []


def test_whoever_handles_the_signal_decides() -> None:
    """A handler that raises nothing interrupts nothing, as in a program with an event loop of its own."""
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        assert verb(swallowing)() == "draws"
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_other_threads_run_verbs() -> None:
    """Python lets only the main thread say who handles a signal."""
    found: list[object] = []
    other = threading.Thread(target=lambda: found.append(verb(blas_threads)()))
    other.start()
    other.join()
    assert found == [{1}]


def interrupt_each(cases: list[str]) -> dict[str, list[str]]:
    """What calls of each case ended in that were interrupted at five moments."""
    run = subprocess.run([sys.executable, "tests/interrupted.py", *cases], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return {name: ends for name, *ends in (line.split("\t") for line in run.stdout.splitlines())}


QUICK = ["nuts", "loo"]
SLOW = ["laplace", "cut", "predict", "group", "refit", "compare", "report", "simulate", "program", "pymc", "advi",
        "cluster", "quadrature"]


def test_ctrl_c_ends_what_takes_time() -> None:
    assert interrupt_each(QUICK) == {name: ["KeyboardInterrupt"] * 5 for name in QUICK}


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_ctrl_c_ends_every_verb_and_method(case: str) -> None:
    assert interrupt_each([case]) == {case: ["KeyboardInterrupt"] * 5}


# Seconds from the first word of a command until it is told to stop: beyond the last one it has long been sampling.
COMMANDS = {
    "fit": ["fit", "sleepstudy", "reaction ~ days", "--prior", "PartialPooling('subject')", "--method",
            "NUTS(draws=200000)", "--seed", "1", "--out", "there.nc"],
    "fit, not collapsed": ["fit", "sleepstudy", "reaction ~ days", "--prior", "PartialPooling('subject')", "--method",
                           "NUTS(draws=200000, collapse=False)", "--seed", "1", "--out", "there.nc"],
    "compare": ["compare", "sleepstudy", "reaction ~ days", "--prior", "PartialPooling('subject')", "--prior",
                "Conditional('subject')", "--method", "NUTS(draws=200000)", "--seed", "1", "--out", "there.csv"],
}


def stopped(command: list[str], number: signal.Signals, after: float, folder: Path) -> int:
    """The exit code of a command in a folder with a file that it would replace; every file must be as before."""
    target = folder / command[-1]
    target.write_bytes(b"what stood there")
    with subprocess.Popen([sys.executable, "-m", "bayes_personal", *command], cwd=folder, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        time.sleep(after)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    assert "NaN" not in said and list(folder.iterdir()) == [target] and target.read_bytes() == b"what stood there"
    # A process that a signal kills has that signal's negative as its code, and shells see 128 more than the signal.
    return 128 - process.returncode if process.returncode < 0 else process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_so_and_leaves_files_alone(number: signal.Signals, tmp_path: Path) -> None:
    assert stopped(COMMANDS["fit"], number, 12, tmp_path) == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("after", [1.5, 3, 8, 16, 30])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_at_every_moment(command: str, number: signal.Signals, after: float, tmp_path: Path) -> None:
    assert stopped(COMMANDS[command], number, after, tmp_path) == 128 + number


def timed(command: list[str], folder: Path) -> float:
    """Seconds that a command takes which nobody stops."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bayes_personal", *command], cwd=folder, check=True, capture_output=True)
    (folder / command[-1]).unlink()
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.1, 0.25, 0.4, 0.55, 0.7])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["predict", "report"])
def test_commands_that_read_a_posterior(name: str, number: signal.Signals, part: float,
                                        tmp_path_factory: pytest.TempPathFactory) -> None:
    given, folder = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("out")
    sleep = bp.load_dataset("sleepstudy")
    bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), sleep, seed=1,
           progress=False).save(given / "posterior.nc")
    sleep.sample(100_000, replace=True, random_state=1, ignore_index=True).to_csv(given / "new.csv", index=False)
    command = {"predict": ["predict", f"{given / 'posterior.nc'}", f"{given / 'new.csv'}", "--out", "there.csv"],
               "report": ["report", f"{given / 'posterior.nc'}", "--out", "there.html"]}[name]
    assert stopped(command, number, part * timed(command, folder), folder) == 128 + number


BUSY = """
import time, sys, warnings
warnings.simplefilter("ignore")
import bayes_personal as bp, nutpie
sleep = bp.load_dataset("sleepstudy")
posterior = bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), sleep, seed=1, progress=False)
bp.report(posterior, "warm.html", seed=1)
start = time.process_time()
posterior = bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), sleep, seed=1, progress=False)
bp.loo(posterior, progress=False)
bp.compare([bp.Population(), bp.PartialPooling("subject"), bp.Conditional("subject")], "reaction ~ days", sleep,
           seed=1, progress=False)
bp.report(posterior, "sleep.html", seed=1)
print(time.process_time() - start)
"""


@pytest.mark.slow
def test_busy_neighbours_cost_no_processor_time(tmp_path: Path) -> None:
    """Threads that wait for each other spin: of a process's own CPU time they made twenty times as much."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        own, one = (float(subprocess.run([sys.executable, "-c", BUSY], cwd=tmp_path, check=True, capture_output=True,
                                         text=True, env=os.environ | more).stdout)
                    for more in ({}, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}))
    finally:
        for each in neighbours:
            each.kill()
    assert own < 1.3 * one and own < 20
