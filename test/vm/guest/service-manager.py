#!/usr/bin/env python3
"""The part of a service manager that keeps descriptors of a service across its restarts (sd_notify(3), FDSTORE).

    service-manager.py NOTIFY-SOCKET PROGRAM [ARGUMENT...]

Starts the program; SIGHUP restarts it (SIGTERM, wait, start with the stored descriptors), SIGTERM ends it and the manager.
"""
import os
import select
import signal
import socket
import sys

path, command = sys.argv[1], sys.argv[2:]
notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notifications.bind(path)
wakeup_in, wakeup_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.set_wakeup_fd(wakeup_out)
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
    signal.signal(number, lambda *_: None)
store = {}


def start():
    pid = os.fork()
    if pid:
        return pid
    # Above where they go, so that none is overwritten before it is moved.
    high = [os.dup2(fd, 200 + i) for i, fd in enumerate(store.values())]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
    os.closerange(3 + len(high), 512)
    environment = dict(os.environ, NOTIFY_SOCKET=path)
    if store:
        environment |= {
            "LISTEN_FDS": str(len(store)),
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDNAMES": ":".join(store),
        }
    os.execvpe(command[0], command, environment)


def take_notification():
    message, fds, _, _ = socket.recv_fds(notifications, 4096, 16)
    fields = dict(line.split("=", 1) for line in message.decode().splitlines())
    if "FDSTORE" in fields:
        store[fields["FDNAME"]] = fds.pop()
    elif "FDSTOREREMOVE" in fields and fields["FDNAME"] in store:
        os.close(store.pop(fields["FDNAME"]))
    for fd in fds:
        os.close(fd)


def take_all_notifications():
    while select.select([notifications], [], [], 0)[0]:
        take_notification()


child = start()
ending = False
while True:
    for source in select.select([notifications, wakeup_in], [], [])[0]:
        if source is notifications:
            take_notification()
            continue
        for number in os.read(wakeup_in, 64):
            if number in (signal.SIGHUP, signal.SIGTERM):
                ending = number == signal.SIGTERM
                os.kill(child, signal.SIGTERM)
            elif number == signal.SIGCHLD and os.waitpid(child, os.WNOHANG)[0] == child:
                take_all_notifications()
                if ending:
                    sys.exit(0)
                child = start()
