"""Plays the service manager: starts a gateway with NOTIFY_SOCKET, notes what it is told, and what happens when.
Usage: notify.py SOCKET WATCHDOG_USEC PROGRAM ARGUMENT...   Prints JSON: {"messages": [...], "code": N}"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

name, watchdog = sys.argv[1:3]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("\0" + name[1:] if name.startswith("@") else name)
listener.settimeout(15)
environment = {**os.environ, "NOTIFY_SOCKET": name}
if watchdog != "0":
    environment["WATCHDOG_USEC"] = watchdog
child = subprocess.Popen(sys.argv[3:], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
messages = []


def take(until, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        listener.settimeout(max(min(end - time.monotonic(), 0.2), 0.001))
        try:
            text = listener.recv(4096).decode()
        except TimeoutError:
            if child.poll() is not None:
                return
            continue
        messages.append({"at": time.monotonic(), "text": text, "alive": child.poll() is None})
        if until and text.startswith(until):
            return


try:
    take("READY=1")
    silent = None
    if watchdog != "0":
        take(None, 1.0)
        child.send_signal(signal.SIGSTOP)
        frozen = time.monotonic() + 0.2
        take(None, 1.0)
        silent = sum(message["at"] > frozen for message in messages) == 0
        child.send_signal(signal.SIGCONT)
    child.send_signal(signal.SIGHUP)
    take("READY=1")
    child.send_signal(signal.SIGTERM)
    take("STOPPING=1")
    code = child.wait(15)
finally:
    child.kill()
print(json.dumps({"messages": messages, "code": code, "silent": silent}))
