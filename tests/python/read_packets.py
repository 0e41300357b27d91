"""Prints the packets of capture files as scapy reads them: a line of JSON for each file."""

import json
import sys

from scapy.utils import RawPcapNgReader, RawPcapReader


def record(data, about):
    """A packet, by integer arithmetic alone: a float cannot hold nanoseconds since 1970."""
    if hasattr(about, "tshigh"):
        ticks = (about.tshigh << 32) | about.tslow
        time, rest = divmod(ticks * 1_000_000_000, about.tsresol)
        assert rest == 0, about
        name = about.ifname
        interface = name.decode() if isinstance(name, bytes) else name
        way = about.direction
    else:
        time, interface, way = about.sec * 1_000_000_000 + about.usec, None, None
        assert about.caplen == len(data), about
    return {
        "time": time,
        "wire_len": about.wirelen,
        "data": data.hex(),
        "interface": interface,
        "way": way,
    }


for path in sys.argv[1:]:
    with RawPcapReader(path) as reader:
        assert isinstance(reader, RawPcapNgReader) or reader.nano, path
        print(json.dumps([record(data, about) for data, about in reader]))
