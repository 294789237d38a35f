"""Keeps this interpreter from reaching beyond its own machine: who asks for it gets an error.

conftest.py imports it, and sets PYTHONPATH so that every Python that a test starts does as well.
"""

import re
import sys

TO = ("socket.connect", "socket.sendto", "socket.sendmsg")  # their second argument is an address
OF = ("socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname", "socket.getnameinfo")


def refuse(event, arguments):
    if event in TO:
        target = arguments[1]
        if not isinstance(target, tuple):
            return  # a Unix socket's path, or the one that it is connected to
    elif event in OF:
        target = arguments[0]
    else:
        return
    host = target[0] if isinstance(target, tuple) else target
    host = host.decode() if isinstance(host, bytes) else host
    if not re.fullmatch(r"127(\.\d+){3}|::1|localhost|", str(host or "")):
        raise RuntimeError(f"the tests use no network, and {event} asks for {host}")


sys.addaudithook(refuse)
