"""Sends frames into an interface, and prints how many of them the interface accepted.

send_frames.py INTERFACE socket|tun FILE: each frame in the file follows its length, 32 bits in
network order. The program makes the tun device, which exists as long as the program runs.
"""

import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

interface, way, path = sys.argv[1:]

REFUSED = (errno.EMSGSIZE, errno.EINVAL, errno.ENODEV, errno.EIO)
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD


def frames():
    with open(path, "rb") as file:
        while length := file.read(4):
            yield file.read(struct.unpack("!I", length)[0])


def by_socket():
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    has_link_header = sender_type(sender) == 1

    def send(frame):
        protocol = ETH_P_IPV6 if frame[0] >> 4 == 6 else ETH_P_IP
        if has_link_header:
            protocol = int.from_bytes(frame[12:14], "big")
        sender.sendto(frame, (interface, protocol))

    return send


def sender_type(sender):
    """The interface's ARPHRD: 1 is Ethernet. Not from /sys, which may show another namespace's."""
    SIOCGIFHWADDR = 0x8927
    request = struct.pack("16s24x", interface.encode())
    return struct.unpack("16xH22x", fcntl.ioctl(sender, SIOCGIFHWADDR, request))[0]


def by_tun():
    TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", interface.encode(), IFF_TUN | IFF_NO_PI))
    return lambda frame: os.write(device, frame)


send = by_socket() if way == "socket" else by_tun()
taken = 0
for number, frame in enumerate(frames()):
    while True:
        try:
            send(frame)
            taken += 1
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                time.sleep(0.001)
                continue
            if error.errno not in REFUSED:
                raise
        break
    # The other end takes them from a queue of a thousand.
    if number % 100 == 99:
        time.sleep(0.005)
print(taken)
