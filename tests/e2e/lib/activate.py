# SPDX-License-Identifier: Apache-2.0
"""Starts a program as systemd does: activate.py DESCRIPTOR… -- PROGRAM… hands over the descriptors from 3 on."""

import os
import sys

FIRST = 3


def main():
    split = sys.argv.index("--")
    sockets, program = [int(fd) for fd in sys.argv[1:split]], sys.argv[split + 1:]
    spare = [os.dup2(fd, 100 + n) for n, fd in enumerate(sockets)]  # out of the way of the targets
    for n, fd in enumerate(spare):
        os.dup2(fd, FIRST + n)
        os.close(fd)
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
    os.execvp(program[0], program)


main()
