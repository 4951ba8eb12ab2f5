#!/usr/bin/env python3
"""Starts a service, and prints the state of each and every change: client.py https://BOARD:6500 SERVICE

Needs Python 3.8 and nothing else. board.pem is the certificate of the board, TOKEN a token of its configuration file.
"""

import json
import os
import ssl
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

board, service = sys.argv[1:]
trust = ssl.create_default_context(cafile="board.pem")
headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}


def request(method, resource):
    """Sends a request; the board sends something at least every 25 s."""
    return urlopen(Request(f"{board}/api/v1/{resource}", method=method, headers=headers), timeout=60, context=trust)


try:
    # First the events: they begin with the state of every service, so none is missed.
    events = request("GET", "events")
    request("POST", f"services/{service}/start").close()
except HTTPError as error:
    # The body of a refusal is JSON, too: `code` is for programs, `detail` for people.
    sys.exit(f"{service}: {json.load(error)['detail']}")

for line in events:
    field, _, value = line.decode().rstrip().partition(": ")
    if field == "event":
        event = value
    elif field == "data" and event == "service-change":
        change = json.loads(value)
        print(change["service"], change["state"], flush=True)
