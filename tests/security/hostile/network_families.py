"""Opens a socket of every family that is not local; AF_VSOCK (40) reaches the host of a virtual machine.

Of AF_NETLINK, the routes of the sandbox's own empty network may be asked for, and nothing else.
"""

import socket

from attempt import end, refused

for family in range(50):
    if family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            protocols = range(1, 23) if family == socket.AF_NETLINK else (0,)
            for protocol in protocols:
                refused(
                    f"family {family} type {int(kind)} protocol {protocol}",
                    socket.socket,
                    family,
                    kind,
                    protocol,
                )
            refused(f"pair {family} type {int(kind)}", socket.socketpair, family, kind)
end()
