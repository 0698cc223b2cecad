"""Children end when they are told, and with their parent."""

import os
import select
import signal
import subprocess
import sys

from ecct_tf.child_processes import end_child, start_child, with_this_tree

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys
from ecct_tf.child_processes import start_child
child = start_child([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"],
                    output=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_ends_in_order_or_is_killed_and_an_ended_one_stays_ended():
    obeying = start_child([sys.executable, "-c", "import time; time.sleep(600)"])
    assert end_child(obeying, patience_seconds=60) == -signal.SIGTERM
    assert end_child(obeying, patience_seconds=60) == -signal.SIGTERM
    stubborn = start_child([sys.executable, "-c", STUBBORN], output=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"ready\n"
    assert end_child(stubborn, patience_seconds=0.01) == -signal.SIGKILL
    stubborn.stdout.close()


def test_a_child_is_killed_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=with_this_tree(),
    )  # fmt: skip
    child = int(parent.stdout.readline())
    descriptor = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    # It becomes readable when the process ends.
    assert select.select([descriptor], [], [], 60)[0] == [descriptor]
    os.close(descriptor)
    for pipe in (parent.stdin, parent.stdout):
        pipe.close()
