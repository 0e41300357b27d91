"""One end of QUIC connections, by aioquic, which nobody of this project wrote.

quic_end.py serve ADDRESS PORT ID_LENGTH VERSIONS [WORDS]: serves until it is killed. Words: "retry" (clients have to
come back with a token).
quic_end.py connect ADDRESS PORT ID_LENGTH VERSIONS [WORDS]: makes a connection and exchanges data. Words: "early" (a
second connection begins with early data), "migrate" (twice, the client goes on from another port with another
connection ID), "rebind" (the same with the same ID, as behind a NAT).

VERSIONS are hexadecimal numbers and commas; a client begins with the first. Everything that the ends choose and send in
the clear beside connection IDs has the marker in it: tokens, and versions that do not exist.

Prints "ready" and its port when it serves; each connection ID as "id HEX" before it is sent, the server's before the connection as "first HEX";
each port that a client has as "port NUMBER"; and the "version" of each connection at its end.
"""

import asyncio
import datetime
import os
import socket
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

MARKER = b"PaYlOd~MtRkEr+7!"
PROTOCOL = "marker"
TIMEOUT = 20
BYTES = 20_000

role, address, port, id_length, versions, *words = sys.argv[1:]
versions = [int(version, 16) for version in versions.split(",")]
payload = MARKER * (BYTES // len(MARKER))


def say(*what):
    print(*what, flush=True)


class Protocol(QuicConnectionProtocol):
    """Says every connection ID of its end."""

    def __init__(self, quic, *arguments, **named):
        super().__init__(quic, *arguments, **named)
        say("id", quic.host_cid.hex())

    def transmit(self):
        # What was issued goes out with the next datagram.
        for known in self._quic._host_cids:
            if known.cid not in self.said:
                self.said.add(known.cid)
                say("id", known.cid.hex())
        super().transmit()

    @property
    def said(self):
        return self.__dict__.setdefault("_said", {self._quic.host_cid})


class Tokens:
    """Of retries: they say nothing to anybody but this server."""

    def __init__(self):
        self.known = {}

    def create_token(
        self, address, original_destination_connection_id, retry_source_connection_id, now
    ):
        say("first", retry_source_connection_id.hex())
        token = MARKER * 2 + os.urandom(8)
        self.known[token] = (address, original_destination_connection_id, retry_source_connection_id)
        return token

    def validate_token(self, address, destination_cid, token, now):
        sender, original, source = self.known[token]
        if (sender, source) != (address, destination_cid):
            raise ValueError("another client's token")
        return original


def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(days=1))
    built = built.not_valid_after(now + datetime.timedelta(days=1))
    return built.sign(key, hashes.SHA256()), key


def configuration(is_client):
    configuration = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[PROTOCOL],
        connection_id_length=int(id_length),
        supported_versions=versions,
        original_version=versions[0] if is_client else None,
    )
    if is_client:
        configuration.verify_mode = ssl.CERT_NONE
        configuration.server_name = "lab"
    else:
        configuration.certificate, configuration.private_key = certificate()
    return configuration


async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()


async def be_server():
    tickets = {}
    server = await serve(
        address,
        int(port),
        configuration=configuration(is_client=False),
        create_protocol=Protocol,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
        stream_handler=lambda reader, writer: asyncio.ensure_future(echo(reader, writer)),
    )
    if "retry" in words:
        server._retry = Tokens()
    say("ready", server._transport.get_extra_info("sockname")[1])
    await asyncio.Event().wait()


async def move(protocol):
    """Goes on from a port that it has not had."""
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 0))
    say("port", s.getsockname()[1])
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, sock=s)
    return transport


async def exchange(protocol):
    reader, writer = await protocol.create_stream()
    writer.write(payload)
    writer.write_eof()
    assert await reader.read() == payload, "the payload changed on its way"


async def connect(ticket, receive):
    """Makes a connection that begins with early data if there is a ticket, and exchanges data."""
    configured = configuration(is_client=True)
    configured.session_ticket = ticket
    quic = QuicConnection(configuration=configured, session_ticket_handler=receive)
    # aioquic's own choice is as long as the ID that it wants for itself, which may be less than RFC 9000 demands.
    first = os.urandom(max(8, int(id_length)))
    quic._peer_cid.cid = quic._original_destination_connection_id = first
    say("first", first.hex())
    protocol = Protocol(quic)
    if not quic.host_cid:
        # Who has no connection ID has no further one to offer either.
        quic._replenish_connection_ids = lambda: None
    transports = [await move(protocol)]
    protocol.connect(socket.getaddrinfo(address, int(port))[0][4], transmit=ticket is None)
    if ticket is None:
        await protocol.wait_connected()
    await exchange(protocol)
    if ticket is not None:
        assert quic.tls.early_data_accepted, "no early data"
    for _ in range(2):
        if "migrate" not in words and "rebind" not in words:
            break
        transports.append(await move(protocol))
        if "migrate" in words:
            protocol.change_connection_id()
        await exchange(protocol)
    say("version", hex(quic._version))
    protocol.close()
    await protocol.wait_closed()
    for transport in transports:
        transport.close()


async def be_client():
    tickets = []
    await connect(None, tickets.append)
    if "early" in words:
        await connect(tickets[0], tickets.append)


if role == "serve":
    asyncio.run(be_server())
else:
    asyncio.run(asyncio.wait_for(be_client(), TIMEOUT))
