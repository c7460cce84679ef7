"""Calls the world and the host: by IPv4, IPv6, and on the host's own loopback."""

import socket
import sys

from attempt import end, refused


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(1)
        line.connect(address)


port = int(sys.argv[2])
for address in ("1.1.1.1", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.17.0.1"):
    refused(address, connect, socket.AF_INET, (address, 80))
refused("host loopback", connect, socket.AF_INET, ("127.0.0.1", port))
refused("host loopback 6", connect, socket.AF_INET6, ("::1", port))
refused("IPv6", connect, socket.AF_INET6, ("2606:4700:4700::1111", 80))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    refused("UDP", line.sendto, b"hello", ("8.8.8.8", 53))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    refused("broadcast", line.sendto, b"hello", ("255.255.255.255", 9))
end()
