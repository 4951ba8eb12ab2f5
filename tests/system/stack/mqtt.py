"""Client of an MQTT broker, over a bare socket: `mqtt.py PORT` prints what is published on the topic `board` and
publishes a text when it ends, `mqtt.py PORT TEXT` publishes a text there."""

import signal
import socket
import struct
import sys
import time


def string(text):
    return struct.pack("!H", len(text)) + text.encode()


def send(broker, kind, body):
    broker.sendall(bytes([kind, len(body)]) + body)


def receive(broker):
    kind, length = broker.recv(1, socket.MSG_WAITALL), broker.recv(1, socket.MSG_WAITALL)
    if not length:
        sys.exit("lost the broker")
    return kind[0], broker.recv(length[0], socket.MSG_WAITALL)


def publish(broker, text):
    send(broker, 0x32, string("board") + b"\0\1" + text.encode())
    # Acknowledged, so it has arrived.
    while receive(broker)[0] != 0x40:
        pass


def leave(*_):
    # A broker that is stopped at the same time has ended by then.
    time.sleep(0.5)
    publish(broker, "offline")
    sys.exit()


broker = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
send(broker, 0x10, string("MQTT") + bytes([4, 2, 0, 0]) + string("publisher" if sys.argv[2:] else "subscriber"))
assert receive(broker) == (0x20, b"\0\0"), "the broker refuses the connection"
if sys.argv[2:]:
    publish(broker, sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, leave)
send(broker, 0x82, b"\0\1" + string("board") + b"\0")
while True:
    kind, body = receive(broker)
    if kind == 0x90:
        print("connected to the broker", flush=True)
    elif kind == 0x30:
        print("received", body[7:].decode(), flush=True)
