/**
 * Starts and ends greenlets, and finds the greenlet that gets a value or an error if its target cannot take it. The rules
 * are Python greenlet's: a greenlet that ends hands its result or its error to its parent; a dead one passes on what it
 * gets; an unstarted one starts with a value, and ends with an error.
 *
 *     switch()/throw() -> deliver -> switchTo ------> entry -> run
 *                                                       |
 *              parent's switch() returns or throws <- endRun
 */

import { addOwnCode } from '../common/own-code.ts'
import { GreenletError, isExit, typeError } from '../common/errors.ts'
import { quoted } from '../common/text.ts'
import {
  ENDED,
  FLAGS,
  IN_HOOK,
  mail,
  REFUSED,
  SELF_GENERATION,
  SELF_INDEX,
  setSubject,
  STATUS,
} from '../native/contract.ts'
import { refuseSecondCopy } from '../native/copies.ts'
import { endContext, frameFor, joinContext, resourceFor } from './context.ts'
import { enterDomains } from './domains.ts'
import { markExit } from './exits.ts'
import { DEAD, type GreenletRecord, LIVE, type Run, UNSTARTED, WAITING } from './record.ts'
import { registeredRecords, registerStarted, unregister } from './registry.ts'
import {
  reportSwitch,
  resetSwitch,
  setNext,
  startAndSwitchTo,
  switchTo,
  takePayload,
  throwOn,
  THROWS,
} from './switch.ts'
import { DOMAINS, main, thread } from './thread.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** What a new stack is started with. */
export interface Start {
  readonly run: Run
  /**
   * The greenlet, for a method of its class. A function that was given to the constructor is called without it, because
   * the stack would keep the greenlet alive.
   */
  readonly receiver: unknown
  readonly args: unknown[]
  /** Whether all it does is to throw the error it was started with. */
  readonly threw: boolean
}

/**
 * Finishes the greenlets that V8 has ended on its own, and corrects `thread.current`. Must be called before the state
 * of a greenlet or the current greenlet is read.
 */
export function finishEnded(): void {
  if (mail[FLAGS]! & (ENDED | REFUSED)) recover()
}

/**
 * Takes arguments or an error to `target`, or to the first of its ancestors that can take them. `payload` is the array
 * of arguments, or the error if `threw`. Returns or throws what the next switch to the calling greenlet brings.
 */
export function deliver(target: GreenletRecord, threw: boolean, payload: unknown): unknown {
  finishEnded()
  refuseInHook()
  if (threw) markExit(payload, target)
  let passedOn = false
  for (let to = target; ;) {
    if (to === thread.current) {
      reportSwitch(threw, to)
      if (threw) throwOn(to, payload)
      return valueOf(payload as unknown[])
    }
    if (to.state === LIVE) return threw ? switchTo(to, payload, THROWS) : switchTo(to, valueOf(payload as unknown[]))
    if (to.state === WAITING) {
      if (threw) return switchTo(to, payload, THROWS)
      throw waitingError(to, target)
    }
    if (to.state === UNSTARTED) {
      let start: Start
      try {
        start = prepareStart(to, threw ? [] : (payload as unknown[]))
      } catch (error) {
        if (!passedOn) throw error
        // A greenlet that ended with the payload passed it on, not the caller of this function. So the error goes to
        // the next greenlet, as in `endRun`.
        threw = true
        payload = error
        to = to.parent!
        continue
      }
      // Reading `run` may have called a getter that started this greenlet. Then the payload is for an ordinary switch.
      if (to.state !== UNSTARTED) continue
      if (!threw) return startAndSwitchTo(to, start)
      if (thread.tracer !== undefined) return startAndSwitchTo(to, startThatThrows(payload))
      if (endUnstarted(to, payload)) {
        threw = false
        payload = [undefined]
      }
      passedOn = true
    }
    // `to` is dead. A GreenletExit has ended it and goes on as a value.
    if (threw && isExit(payload)) {
      threw = false
      payload = [payload]
    }
    to = to.parent!
  }
}

/**
 * Ends an unstarted greenlet with `error`. Returns true if the error goes no further: a spawned greenlet's promise has
 * it.
 */
export function endUnstarted(record: GreenletRecord, error: unknown): boolean {
  const { settle } = record
  finish(record)
  settle?.call(record, true, error)
  return settle !== undefined
}

/**
 * An async hook that runs for a switch must not begin another one, which would lose the payload of the first.
 *
 * @throws GreenletError `ERR_GREENLET_FORBIDDEN` in such a hook
 */
export function refuseInHook(): void {
  if (!(mail[FLAGS]! & IN_HOOK)) return
  throw new GreenletError(
    'ERR_GREENLET_FORBIDDEN',
    'an async hook cannot switch while it runs because of another switch; ' +
      'switch after the hook, for example in setImmediate()',
  )
}

/** The state of a greenlet in Python greenlet's words. */
export function describeState(record: GreenletRecord): string {
  finishEnded()
  const { state } = record
  if (state === DEAD) return ' dead'
  if (state === UNSTARTED) return ' pending'
  const activity = record === thread.current ? 'current' : 'suspended'
  return ` ${activity} active started${state === WAITING ? ' waiting' : ''}${record === main ? ' main' : ''}`
}

/**
 * The outermost function of each stack. It must not throw, because no caller could catch the error. Where a greenlet has
 * ended, its stack rests until the next one starts on it; what this frame refers to would live as long. A stack that may not
 * rest ends: this function returns. If the next greenlet is unstarted, it returns the resource and the frame with which the
 * new stack starts.
 */
export function entry(): [object, unknown] | undefined {
  for (;;) {
    const context = runOne()
    if (context !== undefined) return context
    thread.native.rest()
    if (mail[STATUS] !== 0) {
      mail[STATUS] = 0
      return undefined
    }
  }
}

/** Runs a greenlet from its start to its end. */
function runOne(): [object, unknown] | undefined {
  let threw = false
  let value: unknown
  try {
    const { run, receiver, args } = takeStart()
    // As `Reflect.apply`, which takes longer.
    if (receiver === undefined && args.length < 2) value = args.length === 0 ? run() : run(args[0])
    else value = Reflect.apply(run, receiver, args)
  } catch (error) {
    threw = true
    value = error
  }
  return endRun(threw, value)
}

/** Apart from `runOne`, of which the frame stays on the stack: that frame must not hold the greenlet. */
function takeStart(): Start {
  const { current } = thread
  current.index = mail[SELF_INDEX]!
  current.generation = mail[SELF_GENERATION]!
  current.state = LIVE
  current.run = undefined
  current.spawnArguments = undefined
  registerStarted(current)
  if (current.sharedContext !== undefined) joinContext(current)
  const { payload, origin } = takePayload()
  const start = payload as Start
  reportSwitch(start.threw, origin)
  return start
}

/**
 * While switches are traced, an unstarted greenlet that gets an error starts, and ends with the error on a stack of its
 * own.
 */
export function startThatThrows(error: unknown): Start {
  const run = (): never => {
    throw error
  }
  return { run, receiver: undefined, args: [], threw: true }
}

/** Finds the greenlet that gets the result or the error of `run`, and finishes the current greenlet. */
function endRun(threw: boolean, value: unknown): [object, unknown] | undefined {
  const { current } = thread
  if (current.settle !== undefined) {
    current.settle(threw, value)
    threw = false
    value = undefined
  } else if (threw && isExit(value)) threw = false

  let to = current.killer ?? (current.ending?.isDropped === true && !threw ? main : current.parent!)
  while (to.state !== LIVE && to.state !== WAITING) {
    if (to.state === UNSTARTED) {
      try {
        const start = prepareStart(to, threw ? [] : [value])
        if (to.state !== UNSTARTED) continue
        if (!threw || thread.tracer !== undefined) {
          value = threw ? startThatThrows(value) : start
          threw = false
          break
        }
        if (endUnstarted(to, value)) {
          threw = false
          value = undefined
        }
      } catch (error) {
        // It cannot start. The error goes to the next greenlet, as in Python.
        threw = true
        value = error
      }
      if (threw && isExit(value)) threw = false
    }
    to = to.parent!
  }

  finish(current)
  const context: [object, unknown] | undefined = to.state === UNSTARTED ? [resourceFor(to), frameFor(to)] : undefined
  setNext(to, threw, value)
  return context
}

function finish(record: GreenletRecord): void {
  endContext(record)
  record.state = DEAD
  record.index = -1
  record.run = undefined
  record.spawnArguments = undefined
  record.settle = undefined
  record.awaited = undefined
  record.ending = undefined
  tellEnd(record)
}

/** The part of `finish` that does no harm if it happens twice. */
function tellEnd(record: GreenletRecord): void {
  record.ended?.fulfil()
  record.guest?.ended()
  // Only where V8 has ended it in the middle of the call.
  if (record.blockingCall !== undefined) record.blockingCall.greenlet = undefined
  record.spareCall = undefined
  unregister(record)
  if (thread.onEnd !== undefined) thread.onEnd(record)
}

/**
 * After V8 has ended stacks on its own: finds the running greenlet and finishes the ended ones. Throws where another
 * copy of the package has this thread.
 */
function recover(): void {
  refuseSecondCopy()
  mail[FLAGS]! &= ~ENDED
  const index = mail[SELF_INDEX]
  const generation = mail[SELF_GENERATION]
  registeredRecords().forEach((record) => {
    if (record.index === -1) {
      // V8 has ended JavaScript in the middle of `finish`.
      if (record.state === DEAD) tellEnd(record)
      return
    }
    if (record.index === index && record.generation === generation) {
      resetSwitch(record)
      if (thread.transferFlags & DOMAINS) enterDomains(record)
    }
    setSubject(record.index, record.generation)
    if (thread.native.epoch() !== -1) return
    const { settle } = record
    finish(record)
    settle?.call(
      record,
      true,
      new GreenletError(
        'ERR_GREENLET_ENDED',
        `greenlet ${quoted(record.name)} was ended by V8, for example by a time limit`,
      ),
    )
  })
}

/** Reads the function that `record` is to run. A getter may throw here, or switch. */
function prepareStart(record: GreenletRecord, args: unknown[]): Start {
  const greenlet = record.greenlet! // It is set until the start.
  const run: unknown = greenlet.run
  // Where a getter has started or ended the greenlet, the caller does not use the result.
  if (typeof run !== 'function' && record.state === UNSTARTED) {
    throw typeError(
      `greenlet ${quoted(record.name)} has no run function: pass one to new Greenlet(run) or give its class a run() method`,
      'ERR_GREENLET_NO_RUN',
    )
  }
  const given = run === record.run || Object.hasOwn(greenlet, 'run')
  const spawnArguments = run === record.run ? record.spawnArguments : undefined
  return { run: run as Run, receiver: given ? undefined : greenlet, args: spawnArguments ?? args, threw: false }
}

/** What a switch with these arguments returns where it arrives. */
function valueOf(args: unknown[]): unknown {
  return args.length > 1 ? args : args[0]
}

function waitingError(record: GreenletRecord, target: GreenletRecord): GreenletError {
  const why = record === target ? 'it' : `${quoted(target.name)} is dead and passes the switch on to it, and it`
  return new GreenletError(
    'ERR_GREENLET_WAITING',
    `greenlet ${quoted(record.name)} cannot be switched to: ${why} is in wait() or sleep(), which the event loop ends; ` +
      'use throw() or kill() to interrupt it',
  )
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, entry, deliver)
