#!/usr/bin/env python3
"""Prints what a service tells its manager (sd_notify(3)): one message a line, its lines joined by blanks.

    notifications.py SOCKET
"""
import socket
import sys

notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notifications.bind(sys.argv[1])
print("listening", flush=True)
while True:
    message = notifications.recv(4096).decode()
    print(" ".join(message.splitlines()), flush=True)
