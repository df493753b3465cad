"""What the tests of child processes run: functions that a child can import."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

from layerwright.contract.loading.child import report_progress


def add(a, b):
    print("adding")
    return a + b


def process_id():
    return os.getpid()


def raise_value_error():
    print("about to raise")
    raise ValueError("a bug of the user")


def leave():
    sys.exit(3)


def exit_hard():
    report_progress("GRD001")
    report_progress("PUR002")
    print("last words")
    os._exit(3)


def abort():
    os.abort()


def touch_null():
    ctypes.string_at(0)


def loop_forever():
    report_progress("GRD003")
    while True:
        pass


def deadlock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold_interpreter_lock():
    ctypes.PyDLL(None).sleep(60)


def eat_memory():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * 20_000_000))


def print_forever():
    while True:
        print("x" * 100_000)


def cannot_be_pickled():
    return lambda: 1


def close_everything():
    os.closerange(0, 256)
    time.sleep(60)


def ignore_signals_and_hang():
    for number in (signal.SIGABRT, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)


def read_standard_input():
    return sys.stdin.read()


def start_a_sleeper():
    return subprocess.Popen(["sleep", "60"]).pid


def interrupt_parent_and_hang(parent):
    os.kill(parent, signal.SIGINT)
    time.sleep(60)
