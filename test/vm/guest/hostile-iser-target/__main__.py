"""iSER targets over verbs that lie on purpose.

    hostile-iser-target ADDRESS PORT LIE:TIMES...

Each lie has a process and a port of its own, PORT and those after it. It serves one RAM disk as every LUN of every target name, to one
initiator at a time, in one session with one connection, and is polite until the block at lies.TRIGGER is moved. TIMES 0: it lies whenever
that happens. SIGUSR1 to a process makes it polite for ever. Lines on standard output, each after the port:

    listening PID
    told                the lie, once more
    lost REASON         the connection has ended; the status of a work completion if that was the cause
"""
import os
import signal
import sys

from lies import Lie
from rdma import Connection, ConnectionLost, Listener
from session import Session

DISK_LENGTH = 2 << 20


def main():
    address, first_port, *lies = sys.argv[1:]
    for number, lie in enumerate(lies):
        # Before anything is opened: a verbs object does not survive a fork.
        if os.fork() == 0:
            play(address, int(first_port) + number, lie)
    for _ in lies:
        os.wait()


def play(address, port, lie_and_times):
    def say(line):
        print(f"{port} {line}", flush=True)

    name, times = lie_and_times.split(":")
    lie = Lie(name, int(times), say)
    signal.signal(signal.SIGUSR1, lambda *_: lie.end())
    listener = Listener(address, port, DISK_LENGTH)
    say(f"listening {os.getpid()}")
    while True:
        serve(listener, listener.next_request(), lie, say)


def serve(listener, request, lie, say):
    fate = lie.take_connect()
    if fate == "reject":
        request.reject()
        request.close()
        return
    connection = Connection(listener, request)
    try:
        while fate == "silence":
            connection.wait()
        Session(connection, lie).run()
    except ConnectionLost as lost:
        say(f"lost {lost}")
    finally:
        connection.close()


main()
