"""Detaches the filter of every packet socket of a process: steal_filter.py PID."""

import ctypes
import os
import socket
import sys

PIDFD_GETFD = 438  # asm-generic/unistd.h
SO_DETACH_FILTER = 27  # asm-generic/socket.h

process = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(process)
detached = 0
for descriptor in os.listdir(f"/proc/{process}/fd"):
    stolen = libc.syscall(PIDFD_GETFD, pidfd, int(descriptor), 0)
    if stolen < 0:
        continue
    try:
        found = socket.socket(fileno=stolen)
    except OSError:
        os.close(stolen)
        continue
    if found.family == socket.AF_PACKET:
        found.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        detached += 1
sys.exit(0 if detached else f"process {process} has no packet socket")
