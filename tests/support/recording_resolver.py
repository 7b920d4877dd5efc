"""A machine whose only network is a name server that writes down who is looked up, and a web server that nobody calls.

    unshare -rnm python recording_resolver.py LOG RESOLV_CONF PROGRAM ARGUMENTS

Within new name spaces for network and mounts: names go to 127.0.0.1, any address is this machine, and what comes to
ports 53, 80 and 443 is a line of LOG. The program's exit code is passed on.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 1


def main() -> int:
    """Set up, run the program, return its exit code."""
    log, resolver, *command = sys.argv[1:]
    _bring_up("lo")
    Path(resolver).write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", resolver, str(Path("/etc/resolv.conf").resolve())], check=True)
    # Any address is delivered here, where the tool for it is installed; without, look-ups alone are seen.
    subprocess.run("ip route add local 0.0.0.0/0 dev lo", shell=True, check=False, stderr=subprocess.DEVNULL)
    guard = threading.Lock()

    def record(line: str) -> None:
        with guard, Path(log).open("a") as stream:
            stream.write(line + "\n")

    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", 53))
    threading.Thread(target=_answer_names, args=(names, record), daemon=True).start()
    for port in (53, 80, 443):
        server = socket.create_server(("0.0.0.0", port))
        threading.Thread(target=_accept, args=(server, port, record), daemon=True).start()
    return subprocess.run(command, check=False).returncode


def _bring_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", name.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags | _UP))


def _answer_names(server: socket.socket, record) -> None:
    """Write down each name, and answer that it is at 192.0.2.1 (RFC 5737: nobody's)."""
    while True:
        query, sender = server.recvfrom(4096)
        labels, place = [], 12
        while place < len(query) and query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode(errors="replace"))
            place += 1 + query[place]
        record(f"name {'.'.join(labels)}")
        question = query[12 : place + 5]
        is_v4 = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes((192, 0, 2, 1)) if is_v4 else b""
        server.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", is_v4) + bytes(4) + question + answer, sender)


def _accept(server: socket.socket, port: int, record) -> None:
    while True:
        connection, _ = server.accept()
        record(f"connection to port {port}")
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
