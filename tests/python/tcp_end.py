"""One end of TCP connections, with the socket options that its arguments ask for.

Arguments: its address; the other end's address and port ("-" twice to listen); the number of
connections; TCP_MAXSEG and the size of the buffers (0 for the kernel's defaults); the number of bytes
to send and to receive on each; and words: "fastopen", "multipath", "hold" (send as much again after
a SIGTERM; the other end needs "again"). Prints its port if it listens, and then for each connection
the cookie of the socket, its address and port, and the other end's.
"""

import signal
import socket
import sys
import threading

TIMEOUT = 20
MPTCP = 262
SO_COOKIE = 57
MARKER = b"PaYlOd~MtRkEr+7!"

here, there, port, *numbers = sys.argv[1:8]
times, mss, buffer, amount = map(int, numbers)
words = sys.argv[8:]
payload = (MARKER * (amount // len(MARKER) + 1))[:amount]


def fresh():
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM, MPTCP if "multipath" in words else 0)
    if mss:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.bind((here, 0))
    return s


def connected():
    s, sent = fresh(), 0
    if "fastopen" in words:
        sent = s.sendto(payload, socket.MSG_FASTOPEN, (there, int(port)))
    else:
        s.connect((there, int(port)))
    return s, sent


def exchange(s, sent):
    """Sends and receives at the same time: neither buffer has room for all."""
    sender = threading.Thread(target=s.sendall, args=(payload[sent:],))
    sender.start()
    received = bytearray()
    while len(received) < amount:
        piece = s.recv(amount - len(received))
        assert piece, "the other end left early"
        received += piece
    sender.join()
    assert received == payload, "the payload changed on its way"


def converse(s, sent):
    s.settimeout(TIMEOUT)
    cookie = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
    print(cookie, *s.getsockname()[:2], *s.getpeername()[:2], flush=True)
    exchange(s, sent)
    if "hold" in words:
        signal.sigwait({signal.SIGTERM})
    if "hold" in words or "again" in words:
        exchange(s, 0)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
if there == "-":
    listener = fresh()
    if "fastopen" in words:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.listen()
    listener.settimeout(TIMEOUT)
    print(listener.getsockname()[1], flush=True)
    for _ in range(times):
        s, _ = listener.accept()
        converse(s, 0)
        assert s.recv(1) == b"", "more payload than was sent"
        s.close()
else:
    for _ in range(times):
        s, sent = connected()
        converse(s, sent)
        s.close()
