"""Opens raw sockets and sockets of protocols that would load kernel modules."""

import socket

from attempt import end, refused

for family in (socket.AF_INET, socket.AF_INET6):
    for protocol in (1, 6, 58, 255):
        refused(f"raw {protocol}", socket.socket, family, socket.SOCK_RAW, protocol)
    for protocol in (33, 132, 136, 262):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            refused(f"protocol {protocol}", socket.socket, family, kind, protocol)
end()
