"""The workloads of the benchmark on DBOS with SQLite, in the process of the load: steps of a workflow, each written down
before the next. `python dbos_peer.py hello AT_ONCE WARM_UP MEASURE DIRECTORY` prints figures as JSON."""

import asyncio
import json
import logging
import sys
import time

from dbos import DBOS

CITIES = ("Tokyo", "Seattle", "London")


@DBOS.step()
async def say_hello(city):
    return f"Hello, {city}!"


@DBOS.workflow()
async def hello_sequence():
    return [await say_hello(city) for city in CITIES]


async def client(begins, ends, latencies):
    ran = 0
    while True:
        began = time.perf_counter()
        said = await hello_sequence()
        assert len(said) == len(CITIES), said
        ended = time.perf_counter()
        ran += 1
        if ended >= ends:
            return ran
        if ended >= begins:
            latencies.append(ended - began)


async def run(at_once, warm_up, measure):
    begins = time.perf_counter() + warm_up
    latencies = []
    ran = await asyncio.gather(*(client(begins, begins + measure, latencies) for _ in range(at_once)))
    latencies.sort()
    rank = lambda part: latencies[max(0, -(-len(latencies) * part // 100) - 1)] * 1000 if latencies else 0.0
    return {"count": len(latencies), "ran": sum(ran), "seconds": measure, "p50": rank(50), "p99": rank(99)}


def main():
    at_once, warm_up, measure, directory = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
    logging.disable(logging.WARNING)
    DBOS(config={"name": "dbos-peer", "system_database_url": f"sqlite:///{directory}/dbos.sqlite", "run_admin_server": False})
    DBOS.launch()
    print(json.dumps(asyncio.run(run(at_once, warm_up, measure))))
    DBOS.destroy()


if __name__ == "__main__":
    main()
