"""One end of UDP datagrams that the kernel takes apart or puts together.

udp_segments.py ADDRESS receive SEGMENT TIMES: prints its port, and takes TIMES datagrams of SEGMENT bytes, of which the kernel
may give it several as one (UDP_GRO).
udp_segments.py ADDRESS send SEGMENT TIMES ADDRESS PORT: prints its port, and sends as many by one call (UDP_SEGMENT).
"""

import socket
import sys

UDP_SEGMENT, UDP_GRO = 103, 104
MARKER = b"PaYlOd~MtRkEr+7!"
TIMEOUT = 20

here, role, *numbers = sys.argv[1:5]
segment, times = map(int, numbers)
payload = (MARKER * (segment * times // len(MARKER) + 1))[: segment * times]
s = socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((here, 0))
s.settimeout(TIMEOUT)
print(s.getsockname()[1], flush=True)
if role == "send":
    s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
    s.sendto(payload, (sys.argv[5], int(sys.argv[6])))
else:
    s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    received = b""
    while len(received) < len(payload):
        received += s.recv(65536)
    assert received == payload, "the payload changed on its way"
