"""Publishes start messages to a hub's intake, and knows nothing of Longhaul but docs/protocol.md.

AMQP_URL and QUEUE say where. `start.py PREFIX PER_SECOND` starts the instances PREFIX-0, PREFIX-1 and so on, of three
orchestrations in turn, until SIGTERM. Each line that it prints is an id that the broker has confirmed; two in five are
published twice. A lost connection is opened again, and what was not confirmed is published again. First of all it
makes mistakes, so that the fleet has some to count.
"""

import json
import os
import signal
import sys
import time

import pika

ATTEMPTS_MAX = 120

MISTAKES = [
    ("mistake-unreadable", "this is not JSON"),
    ("mistake-panicking", json.dumps({"orchestration": "panicking", "id": "mistake-panicking"})),
    ("mistake-not-durable", json.dumps({"orchestration": "not_durable", "id": "mistake-not-durable"})),
    (
        "mistake-unwritable",
        json.dumps(
            {
                "orchestration": "journal_fan_out",
                "id": "mistake-unwritable",
                "input": {"file": "/nowhere/journal", "lines": 2, "each_ms": 1, "failures": 1},
            }
        ),
    ),
]


def body(name, number):
    if number % 4 == 0:
        return json.dumps({"orchestration": "hello_sequence", "id": name})
    if number % 4 == 1:
        return json.dumps({"orchestration": "reminder", "id": name, "input": {"after_ms": 2000}})
    return json.dumps({"orchestration": "sum_of_squares", "id": name, "input": number % 4 * 10})


def publish(channel, name, text):
    channel.basic_publish(
        exchange="",
        routing_key=os.environ["QUEUE"],
        body=text,
        properties=pika.BasicProperties(message_id=name, content_type="application/json", delivery_mode=2),
        mandatory=True,
    )


def connect():
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    parameters.blocked_connection_timeout = 30
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


class Publisher:
    def __init__(self):
        self.channel = None

    def publish(self, name, text, times):
        for attempt in range(ATTEMPTS_MAX):
            try:
                self.channel = self.channel or connect()
                for _ in range(times):
                    publish(self.channel, name, text)
                return
            except (pika.exceptions.AMQPError, OSError) as error:
                print(f"attempt {attempt + 1} for {name}: {error!r}", file=sys.stderr)
                self.channel = None
                time.sleep(1)
        sys.exit(f"could not publish {name} in {ATTEMPTS_MAX} attempts")


def main(prefix, per_second):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    publisher = Publisher()
    for name, text in MISTAKES:
        publisher.publish(name, text, 1)
    number = 0
    due = time.monotonic()
    while not stopped:
        name = f"{prefix}-{number}"
        publisher.publish(name, body(name, number), 2 if number % 5 < 2 else 1)
        print(name)
        number += 1
        due = max(due + 1 / per_second, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


main(sys.argv[1], float(sys.argv[2]))
