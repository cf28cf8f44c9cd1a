"""CHGNet kept loaded, a forked process for each calculation: `python -m tests.builders.vasp_stand_in.server SOCKET`."""

import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

from tests.builders.vasp_stand_in import vasp


def main(path: str) -> None:
    """Serve until killed; the socket appears when everything is loaded."""
    vasp.load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen()
        Path(path + ".new").rename(path)
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _calculate(client)
            client.close()


def _calculate(client: socket.socket) -> None:
    message, (out, err), _, _ = socket.recv_fds(client, 65536, 2)
    folder, script = message.decode().split("\0")
    os.chdir(folder)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ["VASP_STAND_IN_SCRIPT"] = script
    threading.Thread(target=_die_with, args=(client,), daemon=True).start()
    code = 1
    try:
        code = vasp.main()
    except BaseException:  # of a forked process: whatever it is must not reach the server's loop
        traceback.print_exc()
    sys.stdout.flush()
    client.sendall(str(code).encode())
    os._exit(0)


def _die_with(client: socket.socket) -> None:
    client.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
