"""A child process survives nothing, and its parent survives everything."""

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from layerwright.contract.loading.child import Worker, report_progress, run_in_child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by POSIX signals")


@pytest.fixture(scope="module")
def functions():
    """The functions to run, in a module that the child can import too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("child_functions")


@pytest.fixture(scope="module")
def worker(functions):
    """One worker for all tests that need no fresh one; it gets over whatever they run."""
    with Worker() as worker:
        yield worker


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_value_comes_back(functions):
    """With what was printed meanwhile."""
    outcome = run_in_child(functions.add, 2, 3, time_limit_s=30)
    assert (outcome.ended, outcome.value, outcome.error) == ("returned", 5, "")
    assert outcome.output == "adding\n"


def test_a_worker_is_used_again(functions):
    """One process for many runs, what one printed is not told of the next, none is left over."""
    with Worker() as worker:
        first = worker.run(functions.process_id, time_limit_s=30)
        raised = worker.run(functions.raise_value_error, time_limit_s=30)
        second = worker.run(functions.process_id, time_limit_s=30)
    assert raised.ended == "raised"
    assert first.value == second.value != os.getpid()
    assert (raised.output, second.output) == ("about to raise\n", "")
    assert not alive(first.value)


def test_a_dead_worker_is_replaced(functions):
    """The next run gets a fresh process."""
    with Worker() as worker:
        first = worker.run(functions.process_id, time_limit_s=30)
        assert worker.run(functions.abort, time_limit_s=30).ended == "killed"
        second = worker.run(functions.process_id, time_limit_s=30)
    assert first.value != second.value
    assert second.ended == "returned"


def test_an_exception_comes_back_in_words(functions, worker):
    """With its traceback; SystemExit is an exception, not an end of the process."""
    outcome = worker.run(functions.raise_value_error, time_limit_s=30)
    assert (outcome.ended, outcome.value) == ("raised", None)
    assert outcome.error == "raised ValueError: a bug of the user"
    assert "child_functions.py" in outcome.traceback
    assert "in raise_value_error" in outcome.traceback
    assert worker.run(functions.leave, time_limit_s=30).error == "raised SystemExit: 3"
    outcome = worker.run(functions.cannot_be_pickled, time_limit_s=30)
    assert outcome.error.startswith("raised TypeError: the result cannot be pickled: ")


def test_an_exit_without_exception_is_told(functions, worker):
    """With the code, the last progress and the last words."""
    outcome = worker.run(functions.exit_hard, time_limit_s=30)
    assert (outcome.ended, outcome.exit_code) == ("exited", 3)
    assert outcome.error == "ended the process with exit code 3"
    assert (outcome.progress, outcome.output) == ("PUR002", "last words\n")


@pytest.mark.parametrize(
    ("name", "number"), [("abort", signal.SIGABRT), ("touch_null", signal.SIGSEGV)]
)
def test_a_crash_is_told_with_the_place(functions, worker, name, number):
    """The signal's name, and the Python line that led to it."""
    outcome = worker.run(getattr(functions, name), time_limit_s=30)
    assert (outcome.ended, outcome.exit_code) == ("killed", -number)
    assert outcome.error == f"was killed by signal {number.value} ({number.name})"
    assert "child_functions.py" in outcome.output
    assert f"in {name}" in outcome.output


@pytest.mark.parametrize("name", ["loop_forever", "deadlock"])
def test_what_does_not_end_is_ended_and_told_with_the_place(functions, worker, name):
    """An endless loop and a deadlock: the line that it stood at is in the output."""
    outcome = worker.run(getattr(functions, name), time_limit_s=0.5)
    assert (outcome.ended, outcome.error) == ("time limit", "did not end within 0.5 s")
    assert f"in {name}" in outcome.output
    assert outcome.progress == ("GRD003" if name == "loop_forever" else "")
    assert 0.5 <= outcome.seconds < 10


@pytest.mark.parametrize("name", ["hold_interpreter_lock", "ignore_signals_and_hang"])
def test_what_resists_is_ended_too(functions, worker, name):
    """C code that keeps the interpreter lock; a process that ignores polite signals."""
    outcome = worker.run(getattr(functions, name), time_limit_s=0.3)
    assert outcome.ended == "time limit"


@pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="no way to ask for memory")
def test_a_huge_allocation_is_ended(functions, worker):
    """Before it takes the machine down."""
    outcome = worker.run(functions.eat_memory, time_limit_s=60, memory_limit_bytes=600 * 2**20)
    assert outcome.ended == "memory limit"
    assert outcome.error.endswith(" MB of memory, of 600")


def test_endless_output_is_ended_and_not_kept(functions, worker):
    """The end of it is kept, no more."""
    outcome = worker.run(functions.print_forever, time_limit_s=60)
    assert (outcome.ended, outcome.error) == ("output limit", "printed more than 64 MB")
    assert 0 < len(outcome.output) <= 16_384


def test_a_child_that_closes_its_connection_is_ended(functions, worker):
    """It could say nothing any more."""
    outcome = worker.run(functions.close_everything, time_limit_s=30)
    assert outcome.ended in {"killed", "exited"}
    assert outcome.seconds < 10


def test_the_child_reads_nothing(functions, worker):
    """Standard input is empty; it is not the connection to the parent."""
    assert worker.run(functions.read_standard_input, time_limit_s=30).value == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_the_child_started_dies_with_it(functions):
    """No process is left over."""
    with Worker() as worker:
        pid = worker.run(functions.start_a_sleeper, time_limit_s=30).value
        assert alive(pid)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


@pytest.fixture
def interrupts():
    """Let Ctrl-C raise KeyboardInterrupt, which a process that a shell started with & ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_ends_the_child_at_once(functions):
    """The interrupt goes on to the caller, and no child is left."""
    assert threading.current_thread() is threading.main_thread()
    worker = Worker()
    pid = worker.run(functions.process_id, time_limit_s=30).value
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        worker.run(functions.interrupt_parent_and_hang, os.getpid(), time_limit_s=30)
    assert time.monotonic() - begin < 10
    assert not alive(pid)


def test_progress_reaches_the_parent_as_it_comes(functions):
    """One call a message; outside of a child the function does nothing."""
    heard = []
    with Worker() as worker:
        worker.run(functions.exit_hard, time_limit_s=30, on_progress=heard.append)
    assert heard == ["GRD001", "PUR002"]
    report_progress("nobody listens")


def test_the_time_limit_begins_after_the_imports(functions, worker, tmp_path, monkeypatch):
    """A module that imports slowly is not the layer's fault."""
    (tmp_path / "slow_child_module.py").write_text(
        f"import os, time\nif os.getppid() == {os.getpid()}: time.sleep(1)\n"
        "def answer(): return 42\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    slow = importlib.import_module("slow_child_module")
    assert worker.run(slow.answer, time_limit_s=0.8).value == 42
