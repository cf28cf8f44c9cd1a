"""Hands a calculation to a server that has CHGNet loaded (see server.py), so that a test does not load it each time."""

import os
import socket


def main() -> int:
    """Let the server calculate in this folder, with this process's output; its exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ["VASP_STAND_IN_SOCKET"])
        # Killing this process closes the socket, and with it the calculation ends.
        socket.send_fds(
            server, [os.getcwd().encode() + b"\0" + os.environ.get("VASP_STAND_IN_SCRIPT", "").encode()], [1, 2]
        )
        answer = server.recv(16)
    return int(answer) if answer else 139
