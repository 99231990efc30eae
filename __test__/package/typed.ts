import assert from 'node:assert/strict'
import { type Frame, Greenlet, GreenletExit } from 'greenlets'
import 'greenlets/express'
import 'greenlets/testing'
import 'greenlets/dump'
import 'greenlets/inspect'
import 'greenlets/watchdog'
import 'greenlets/http'
import Fiber from 'greenlets/fibers'
import { Future } from 'greenlets/fibers/future'

class Worker extends Greenlet {
  override run(value: number): number {
    return (Greenlet.main.switch(value + 1) as number) * 2
  }
}

const worker = new Worker()
assert.equal(worker.switch(1), 2)
const frames: readonly Frame[] = worker.gr_stack
const line: number | null | undefined = frames[0]?.lineNumber
assert.equal(frames[0]?.functionName, 'run')
assert.equal(typeof line, 'number')
assert.equal(worker.switch(21), 42)

// @ts-expect-error: this is not a state
const state: 'sleeping' = worker.state
assert.equal(state, 'dead')
assert.ok(new GreenletExit() instanceof Error)
const fiber: Fiber = Fiber((x: number) => x + 1)
assert.equal(fiber.run<number>(1) + 1, 3)
const future: Future<string> = Future.task(() => 'text')
assert.equal(future.isResolved(), false)
console.log('ok')
