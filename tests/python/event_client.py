"""A client of a tcp-info event socket, written from nothing but the documented format.

Arguments: the socket's path, and "idle" to connect and never read. Prints "connected", then each
event as it comes: its kind, the UUID, when it happened and when it was read (nanoseconds since 1970),
and for an Open the cookie (unsigned), local address and port, remote address and port. Prints "end"
when the server ends the stream. Anything that is not as documented is an error.
"""

import datetime
import ipaddress
import json
import re
import signal
import socket
import sys
import time

RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
UUID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,200}")
FIELDS = {"SPort": int, "DPort": int, "SrcIP": str, "DstIP": str, "Interface": int, "Cookie": int}


def nanoseconds(text):
    moment, fraction, offset = RFC_3339.fullmatch(text).groups()
    at = datetime.datetime.fromisoformat(moment + offset.replace("Z", "+00:00"))
    return int(at.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))


def address(text):
    at = ipaddress.ip_address(text)
    assert getattr(at, "ipv4_mapped", None) is None, f"{text} is plain IPv4"
    return str(at)


def told(line, seen):
    event = json.loads(line)
    kind, uuid = event["Event"], event["UUID"]
    assert UUID.fullmatch(uuid), line
    words = [uuid, nanoseconds(event["Timestamp"]), seen]
    if kind == 1:
        assert event.get("ID") is None, line
        return ["close", *words]
    assert kind == 0, line
    flow = event["ID"]
    assert all(type(flow[name]) is kind for name, kind in FIELDS.items()), line
    assert -(2**63) <= flow["Cookie"] < 2**63, line
    cookie = flow["Cookie"] % 2**64
    ends = [address(flow["SrcIP"]), flow["SPort"], address(flow["DstIP"]), flow["DPort"]]
    return ["open", *words, cookie, *ends]


server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
print("connected", flush=True)
if "idle" in sys.argv[2:]:
    signal.pause()
rest = b""
while piece := server.recv(1 << 16):
    seen = time.time_ns()
    *lines, rest = (rest + piece).split(b"\n")
    print("".join(" ".join(map(str, told(line, seen))) + "\n" for line in lines), end="", flush=True)
assert not rest, "the last line has no end"
print("end", flush=True)
