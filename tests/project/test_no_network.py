"""No test reaches another machine, and no process that a test starts.

pytest-socket would leave datagrams, names and other processes alone.
"""

from processes import run_python

FAR = ("192.0.2.1", 9)  # an address for documentation: nobody has it
CHECK = f"""
import sys, pytest
for event in [  # that Python raises before it acts, with their arguments
    ("socket.connect", None, {FAR}),
    ("socket.connect", None, ("2001:db8::1", 9, 0, 0)),
    ("socket.sendto", None, {FAR}),
    ("socket.getaddrinfo", b"127.0.0.1.invalid", 9, 0, 0, 0),
    ("socket.gethostbyname", "a.invalid"),
]:
    with pytest.raises(RuntimeError, match=f"no network, and {{event[0]}} asks"):
        sys.audit(*event)
"""


def test_the_tests_reach_no_other_machine():
    exec(CHECK)


def test_nor_does_a_process_that_they_start():
    run_python("-c", CHECK)
