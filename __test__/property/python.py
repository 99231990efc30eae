"""Runs programs on Python's greenlets: a line of JSON in, a line of JSON out. Features that Python lacks are not recorded."""

import json
import sys

from greenlet import GreenletExit, getcurrent, greenlet, settrace

MOST_GREENLETS = 30
TRACING = "--trace" in sys.argv


class Named(Exception):
    pass


class Completion:
    def __init__(self, value):
        self.value = value


class World:
    def __init__(self, program):
        self.bodies = program["bodies"]
        self.greenlets = [getcurrent()]
        self.lines = []
        self.seen = {}
        self.keep = []
        self.over = False
        self.errors = {name: Named(name) for name in ("e0", "e1", "e2", "e3")}
        self.errors |= {name: GreenletExit(name) for name in ("x0", "x1")}

    def run(self):
        if TRACING:
            settrace(self.trace)
        try:
            self.run_body(self.bodies[0])
        except (Named, GreenletExit, AttributeError, ValueError):
            pass
        settrace(None)
        self.over = True
        for it in self.greenlets[1:]:
            while not it.dead and it:
                it.parent = self.greenlets[0]
                it.throw()
        return self.lines

    def trace(self, event, switched):
        origin, target = switched
        self.record(self.number(target), f"is traced: {event} from g{self.number(origin)}")

    def record(self, me, what):
        if not self.over:
            self.lines.append(f"g{me} {what}")

    def name(self, value):
        if value is None or value == ():
            return "undefined"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self.name, value))}]"
        if isinstance(value, int):
            return str(value)
        if id(value) not in self.seen:
            self.keep.append(value)
            self.seen[id(value)] = f"{self.label(value)}#{len(self.seen)}"
        return self.seen[id(value)]

    def label(self, error):
        for name, known in self.errors.items():
            if known is error:
                return name
        if isinstance(error, GreenletExit):
            return "ERR_GREENLET_EXIT"
        text = str(error)
        if text == "run":
            return "ERR_GREENLET_NO_RUN"
        if "cannot be set after the start" in text or "do not have a run attribute" in text:
            return "ERR_GREENLET_STARTED"
        if "cyclic parent chain" in text:
            return "ERR_GREENLET_PARENT_CYCLE"
        if "parent of a main greenlet" in text:
            return "ERR_GREENLET_MAIN"
        return repr(error)

    def number(self, it):
        return self.greenlets.index(it)

    def run_body(self, block, args=None):
        me = self.number(getcurrent())
        if args is not None:
            self.record(me, f"starts with ({', '.join(map(self.name, args))})")
        try:
            completion = self.perform(me, block)
            value = completion.value if completion else None
            self.record(me, f"returns {self.name(value)}")
            return value
        except BaseException as error:
            self.record(me, f"ends by {self.name(error)}")
            raise

    def perform(self, me, block):
        for it in block:
            if self.over:
                break
            self.record_state(me)
            completion = self.step(me, it)
            if completion is not None:
                return completion
        return None

    def step(self, me, it):
        op = it["op"]
        if op == "create":
            if len(self.greenlets) < MOST_GREENLETS:
                made = greenlet(parent=None if it["parent"] is None else self.at(it["parent"]))
                if it["body"] is not None:
                    made.run = self.run_of(it["body"])
                self.greenlets.append(made)
        elif op == "switch":
            self.record(me, f"got {self.name(self.at(it['to']).switch(*it['values']))}")
        elif op == "throw":
            target = self.at(it["to"])
            got = target.throw() if it["what"] is None else target.throw(self.errors[it["what"]])
            self.record(me, f"got {self.name(got)}")
        elif op == "reparent":
            self.at(it["greenlet"]).parent = self.at(it["parent"])
        elif op == "setRun":
            target = self.at(it["greenlet"])
            if it["body"] is not None:
                target.run = self.run_of(it["body"])
            elif target or target.dead:
                raise AttributeError("run cannot be set after the start of the greenlet")
            elif hasattr(target, "run"):
                del target.run
        elif op == "call":
            return self.call(me, it)
        elif op == "try":
            return self.attempt(me, it)
        elif op == "return":
            return Completion(it["value"])
        elif op == "raise":
            raise GreenletExit() if it["what"] is None else self.errors[it["what"]]
        elif op == "look":
            self.look(me, self.at(it["greenlet"]))
        else:
            raise NotImplementedError(op)
        return None

    def call(self, me, it):
        found = []
        list(map(lambda block: found.append(self.perform(me, block)), [it["block"]]))
        return found[0]

    def attempt(self, me, it):
        try:
            return self.perform(me, it["block"])
        except BaseException as error:
            if it["catch"] is None:
                raise
            self.record(me, f"caught {self.name(error)}")
            return self.perform(me, it["catch"])
        finally:
            if it["finally"] is not None:
                completion = self.perform(me, it["finally"])
                if completion is not None:
                    return completion

    def look(self, me, it):
        names = []
        frame = it.gr_frame
        while frame is not None:
            if frame.f_code.co_name in ("body", "call"):
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        self.record(me, f"sees {str(it.dead).lower()} [{','.join(names)}]")

    def record_state(self, me):
        states = " ".join(f"{self.state(it)}<{'' if it.parent is None else self.number(it.parent)}" for it in self.greenlets)
        self.record(me, f"now {self.number(getcurrent())} {states}")

    def state(self, it):
        if it is getcurrent():
            return "running"
        if it.dead:
            return "dead"
        return "suspended" if it else "unstarted"

    def at(self, number):
        return self.greenlets[number % len(self.greenlets)]

    def run_of(self, which):
        others = self.bodies[1:]
        block = others[which % len(others)]

        def body(*args):
            return self.run_body(block, args)

        return body


for line in sys.stdin:
    print(json.dumps(World(json.loads(line)).run()), flush=True)
