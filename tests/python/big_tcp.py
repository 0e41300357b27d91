"""Lets an interface send and receive packets of more than 64 KiB (BIG TCP); iproute2 can set the
limits of IPv6, but not yet those of IPv4.

Arguments: the interface, bytes.
"""

import socket
import struct
import sys

RTM_NEWLINK, REQUEST_ACK, ERROR = 16, 5, 2
# IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE
LIMITS = (41, 58, 63, 64)

name, size = sys.argv[1], int(sys.argv[2])
index = socket.if_nametoindex(name)
body = struct.pack("BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
body += b"".join(struct.pack("HHI", 8, limit, size) for limit in LIMITS)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
netlink.send(struct.pack("IHHII", 16 + len(body), RTM_NEWLINK, REQUEST_ACK, 1, 0) + body)
answer = netlink.recv(4096)
kind, error = struct.unpack_from("H", answer, 4)[0], struct.unpack_from("i", answer, 16)[0]
assert kind == ERROR and error == 0, f"{name}: errno {-error}"
