#!/usr/bin/env python3
"""The logs of pretended pods, as their kubelet would serve them: each has one line, and is followed without end.

usage: quiet_logs.py ADDRESS PORT CERTIFICATE KEY
"""

import asyncio
import datetime
import ssl
import sys


async def answer(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = f"{now} quiet from now on\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        await writer.drain()
        if b"follow=true" in head.split(b"\r\n", 1)[0]:
            # The API server lets go when its own client does.
            await reader.read()
        else:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(address, port, certificate, key):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = await asyncio.start_server(answer, address, int(port), ssl=tls, backlog=1024)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
