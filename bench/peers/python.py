"""Measures Python's greenlet as rig.ts measures ours. Prints the rows as JSON. Arguments: seconds, or `memory` and a number."""

import json
import sys
from time import perf_counter_ns

from greenlet import getcurrent, greenlet

DEPTHS = (1, 10, 100, 1000)
LOOKING_DEPTHS = (10, 100, 1000)
BATCH_NS = 400_000
ROUNDS = 30

main = getcurrent()


def park(depth, bottom):
    """A greenlet that is suspended in `bottom`, the last of `depth` nested functions."""
    parked = greenlet(nest)
    parked.switch(depth, bottom)
    return parked


def nest(levels, bottom):
    return bottom() if levels == 1 else nest(levels - 1, bottom)


def echo():
    x = main.switch()
    while True:
        x = main.switch(x + 1)


def round_trips(depth):
    switch = park(depth, echo).switch

    def run(count):
        x = 0
        for _ in range(count):
            x = switch(x)
        return x

    return run


def add_one(x):
    return x + 1


def lives(count):
    x = 0
    for _ in range(count):
        x = greenlet(add_one).switch(x)
    return x


def walks(depth):
    """All frames from gr_frame outwards, as our gr_stack lists them. Python makes them anew when the greenlet has run since."""
    parked = park(depth, echo)

    def run(count):
        x = frames = 0
        for _ in range(count):
            x = parked.switch(x)
            frame = parked.gr_frame
            while frame is not None:
                frames += 1
                frame = frame.f_back
        return x if frames == (depth + 1) * count else None

    return run


def measure(rows, seconds):
    columns = [(name, run, warm_up(run), []) for name, run in rows.items()]
    end = perf_counter_ns() + seconds * 1e9
    done = 0
    while done < ROUNDS or perf_counter_ns() < end:
        done += 1
        for name, run, count, times in columns:
            times.append(batch(name, run, count) / count)
    return {name: summary(times) for name, _, _, times in columns}


def warm_up(run):
    count = 1
    while True:
        elapsed = batch("warm-up", run, count)
        if elapsed > BATCH_NS / 2:
            return max(1, round(count * BATCH_NS / elapsed))
        count *= 2


def batch(name, run, count):
    start = perf_counter_ns()
    result = run(count)
    elapsed = perf_counter_ns() - start
    if result != count:
        raise RuntimeError(f"'{name}' came to {result} instead of {count}")
    return elapsed


def summary(times):
    times.sort()
    return {"min": round(times[0], 1), "median": round(times[len(times) // 2], 1)}


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def memory(count):
    """Bytes of each of `count` greenlets that are suspended below three functions."""
    before = resident()
    parked = [park(3, main.switch) for _ in range(count)]
    each = round((resident() - before) / len(parked))
    return {f"python: memory, {count}": {"min": each, "median": each}}


sys.setrecursionlimit(10_000)
if sys.argv[1] == "memory":
    result = memory(int(sys.argv[2]))
else:
    result = measure(
        {
            **{f"python: switch, depth {depth}": round_trips(depth) for depth in DEPTHS},
            "python: life": lives,
            **{f"python: frames, depth {depth}": walks(depth) for depth in LOOKING_DEPTHS},
        },
        float(sys.argv[1]),
    )
print(json.dumps(result), flush=True)
