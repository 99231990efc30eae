/** The whole lifetime of a greenlet, and a call that blocks. */

import Fiber from '../../js/fibers/index.ts'
import { Greenlet, spawn, wait } from '../../js/index.ts'
import type { Row } from '../rig.ts'

export function lifetimeRows(): Row[] {
  return [
    { name: 'greenlet life', run: greenlets },
    { name: 'fiber life', run: fibers },
    { name: 'async function life', run: asyncFunctions },
    { name: 'generator life', run: generators },
    { name: 'wait() below 10 functions', run: (count) => spawn(waits, count) },
    { name: 'await below 10 async functions', run: awaits },
    { name: 'request with 3 waits', run: (count) => requests(count, () => spawn(waitingRequest, 1)) },
    { name: 'request with 3 awaits', run: (count) => requests(count, () => soon(awaitingRequest, 1)) },
  ]
}

function greenlets(count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) x = new Greenlet(addOne).switch<number>(x)
  return x
}

function fibers(count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) x = Fiber(addOne).run<number>(x)
  return x
}

function addOne(x: number): number {
  return x + 1
}

async function asyncFunctions(count: number): Promise<number> {
  let x = 0
  for (let i = 0; i < count; i++) x = await addOneAsync(x)
  return x
}

async function addOneAsync(x: number): Promise<number> {
  return x + 1
}

function generators(count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) x = addOneInGenerator(x).next().value
  return x
}

// oxlint-disable-next-line require-yield -- it must finish at once
function* addOneInGenerator(x: number): Generator<never, number, undefined> {
  return x + 1
}

function waits(count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) x = waitBelow(10, x)
  return x
}

function waitBelow(depth: number, x: number): number {
  return depth === 1 ? wait(Promise.resolve(x)) + 1 : waitBelow(depth - 1, x)
}

async function awaits(count: number): Promise<number> {
  let x = 0
  for (let i = 0; i < count; i++) x = await awaitBelow(10, x)
  return x
}

async function awaitBelow(depth: number, x: number): Promise<number> {
  return depth === 1 ? (await Promise.resolve(x)) + 1 : await awaitBelow(depth - 1, x)
}

/** Serves requests that come all at once. Each adds one to its number three times, so `count` requests come to `count`. */
async function requests(count: number, serve: () => PromiseLike<number>): Promise<number> {
  const served = await Promise.all(Array.from({ length: count }, serve))
  return served.filter((number) => number === 4).length
}

function waitingRequest(x: number): number {
  const first = wait(Promise.resolve(x)) + 1
  const second = wait(Promise.resolve(first)) + 1
  return wait(Promise.resolve(second)) + 1
}

async function awaitingRequest(x: number): Promise<number> {
  const first = (await Promise.resolve(x)) + 1
  const second = (await Promise.resolve(first)) + 1
  return (await Promise.resolve(second)) + 1
}

/** Calls an async function when `spawn()` would start a greenlet: in the event loop, after the code that runs now. */
function soon(fn: (x: number) => Promise<number>, x: number): Promise<number> {
  return new Promise((resolve) => setImmediate(() => resolve(fn(x))))
}
