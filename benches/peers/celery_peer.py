"""The workloads of the benchmark on Celery, on the same RabbitMQ and Redis. `celery -A celery_peer worker` runs the
tasks; `python celery_peer.py hello|fan_out AT_ONCE_OR_WIDTH WARM_UP MEASURE` is the load, and prints figures as JSON.

Messages are persistent and acknowledged after their task, which is the nearest that Celery has to what Longhaul
promises; the state of a chain is in its messages, and nothing is kept of a chain that is lost."""

import collections
import json
import os
import sys
import time

from celery import Celery, chain, chord

app = Celery("celery_peer", broker=os.environ["PEER_AMQP"], backend=os.environ["PEER_REDIS"])
app.conf.update(
    task_acks_late=True,
    task_default_queue=os.environ["PEER_QUEUE"],
    worker_prefetch_multiplier=16,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)

CITIES = ("Tokyo", "Seattle", "London")


@app.task
def say_hello(said, city):
    return said + [f"Hello, {city}!"]


@app.task
def square(number):
    return number * number


@app.task
def add_up(numbers):
    return sum(numbers)


def start_hello(_width):
    first, *others = CITIES
    return chain(say_hello.s([], first), *(say_hello.s(city) for city in others)).apply_async()


def start_fan_out(width):
    return chord([square.s(number) for number in range(1, width + 1)])(add_up.s())


def right(kind, width, answer):
    if kind == "hello":
        return len(answer) == len(CITIES)
    return answer == sum(number * number for number in range(1, width + 1))


def main():
    kind, size, warm_up, measure = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    start, at_once, width = (start_hello, size, 0) if kind == "hello" else (start_fan_out, 1, size)
    begins = time.perf_counter() + warm_up
    ends = begins + measure
    running = collections.deque()
    latencies, ran = [], 0
    while True:
        while len(running) < at_once:
            running.append((time.perf_counter(), start(width)))
        began, result = running.popleft()
        answer = result.get(timeout=120)
        assert right(kind, width, answer), answer
        ended = time.perf_counter()
        result.forget()
        ran += 1
        if ended >= ends:
            break
        if ended >= begins:
            latencies.append(ended - began)
    latencies.sort()
    rank = lambda part: latencies[max(0, -(-len(latencies) * part // 100) - 1)] * 1000 if latencies else 0.0
    print(json.dumps({"count": len(latencies), "ran": ran, "seconds": measure, "p50": rank(50), "p99": rank(99)}))
    # What still runs is of no interest: the queue is this benchmark's own.


if __name__ == "__main__":
    main()
