/**
 * How greenlets begin and end, and who gets what is sent to one that cannot take it: Python greenlet's rules. A greenlet
 * that ends hands its result or its error to its parent; a dead one passes on whatever it gets; an unstarted one starts
 * with it, or, where it is an error, dies of it.
 *
 *     switch()/throw() -> deliver -> transfer ------> entry -> run
 *                                                       |
 *              parent's switch() returns or throws <- leave
 */

import { wrapCalls } from './calls.ts'
import { typeError } from './check.ts'
import { connectContexts, endContext, frameFor, joinContext, resourceFor } from './context.ts'
import { GreenletError, isExit } from './errors.ts'
import { DEAD, type Inner, LIVE, main, type Run, UNSTARTED, WAITING } from './inner.ts'
import { address, attach, ENDED, FLAGS, IN_HOOK, mail, type Native, SELF_GENERATION, SELF_INDEX } from './native.ts'
import { connectRegistry, enrollStarted, living, strike } from './registry.ts'
import {
  connect,
  connection,
  current,
  FAILED,
  handOver,
  isTracing,
  launch,
  pickUp,
  report,
  reset,
  transfer,
} from './transfer.ts'

/** What a new stack is started with. */
interface Start {
  readonly run: Run
  /** The greenlet for a method of its class. A function that was given gets none: its stack would keep the greenlet alive. */
  readonly receiver: unknown
  readonly args: unknown[]
  /** Whether all it does is to throw what it was started with. */
  readonly threw: boolean
}

let native: Native | undefined
let attached = false

/** Makes sure that this thread can run greenlets; see {@link attach} for what it throws. */
export function ensureAttached(): void {
  if (attached) return
  // Once, even where a time limit of V8's ends what follows.
  native ??= attach(entry)
  connect(native)
  wrapCalls()
  main.index = mail[SELF_INDEX]!
  main.generation = mail[SELF_GENERATION]!
  connectContexts(native)
  connectRegistry(native)
  attached = true
}

/** The greenlet that runs. To be asked before a greenlet's life is, too: it finds out about those that V8 has ended. */
export function here(): Inner {
  if (mail[FLAGS]! & ENDED) recover()
  return current
}

/**
 * Takes arguments or an error to `target`, or to the first of its ancestors that can take them. `load` is the array of
 * arguments, or the error if `threw`. Returns or throws what the next switch to the calling greenlet brings.
 */
export function deliver(target: Inner, threw: boolean, load: unknown): unknown {
  here()
  refuseInHook()
  let passedOn = false
  for (let to = target; ;) {
    if (to === current) {
      report(threw, current)
      if (threw) throw load
      return pack(load as unknown[])
    }
    if (to.life === LIVE) return threw ? transfer(to, load, FAILED) : transfer(to, pack(load as unknown[]))
    if (to.life === WAITING) {
      if (threw) return transfer(to, load, FAILED)
      throw waiting(to, target)
    }
    if (to.life === UNSTARTED) {
      let start: Start
      try {
        start = prepare(to, threw ? [] : (load as unknown[]))
      } catch (error) {
        if (!passedOn) throw error
        // One that died of what we bring passed it on, and not we: what says so goes to the next one, as in `leave`.
        threw = true
        load = error
        to = to.parent!
        continue
      }
      // Looking `run` up may have run a getter, and that may have started the greenlet: what we bring is for a switch now.
      if (to.life !== UNSTARTED) continue
      if (!threw) return launch(to, start)
      if (isTracing()) return launch(to, throwing(load))
      if (succumb(to, load)) {
        threw = false
        load = [undefined]
      }
      passedOn = true
    }
    // It is dead: GreenletExit has done its work, and goes on as a value.
    if (threw && isExit(load)) {
      threw = false
      load = [load]
    }
    to = to.parent!
  }
}

/** Ends an unstarted greenlet by `error`. True if that was the end of the error too: a spawned greenlet's promise has it. */
export function succumb(inner: Inner, error: unknown): boolean {
  const { settle } = inner
  bury(inner)
  settle?.(!isExit(error), error)
  return settle !== undefined
}

/** A hook that runs for a switch must not begin another: the value under way would be lost. */
export function refuseInHook(): void {
  if (!(mail[FLAGS]! & IN_HOOK)) return
  throw new GreenletError(
    'ERR_GREENLET_FORBIDDEN',
    'an async hook cannot switch: it runs because of a switch that is under way; do it after the hook, as in setImmediate()',
  )
}

/** The state of a greenlet in Python greenlet's words. */
export function describeLife(inner: Inner): string {
  const me = here()
  if (inner.life === DEAD) return ' dead'
  if (inner.life === UNSTARTED) return ' pending'
  const state = inner === me ? 'current' : 'suspended'
  return ` ${state} active started${inner.life === WAITING ? ' waiting' : ''}${inner === main ? ' main' : ''}`
}

/**
 * The first and last thing on each new stack. Must not throw: there is nobody below to catch it. Returns what a new stack
 * starts with, if one is to run next.
 */
function entry(): [object, unknown] | undefined {
  let threw = false
  let value: unknown
  try {
    value = begin()
  } catch (error) {
    threw = true
    value = error
  }
  return leave(threw, value)
}

function begin(): unknown {
  const { run, receiver, args } = arrive()
  return Reflect.apply(run, receiver, args)
}

/** Apart from `begin`, whose frame stays: it must not hold the greenlet. */
function arrive(): Start {
  current.index = mail[SELF_INDEX]!
  current.generation = mail[SELF_GENERATION]!
  current.life = LIVE
  current.run = undefined
  enrollStarted(current)
  if (current.shared !== undefined) joinContext(current)
  const { parcel, origin } = pickUp()
  const start = parcel as Start
  report(start.threw, origin)
  return start
}

/** For somebody who traces, an unstarted greenlet that gets an error starts, and dies of it on a stack of its own. */
export function throwing(error: unknown): Start {
  const run = (): never => {
    throw error
  }
  return { run, receiver: undefined, args: [], threw: true }
}

/** Finds out who gets what `run` came to, and dies. */
function leave(threw: boolean, value: unknown): [object, unknown] | undefined {
  const me = current
  if (threw && isExit(value)) threw = false
  if (me.settle !== undefined) {
    me.settle(threw, value)
    threw = false
    value = undefined
  }

  let to = me.killer ?? me.parent!
  while (to.life !== LIVE && to.life !== WAITING) {
    if (to.life === UNSTARTED) {
      try {
        const start = prepare(to, threw ? [] : [value])
        if (to.life !== UNSTARTED) continue
        if (!threw || isTracing()) {
          value = threw ? throwing(value) : start
          threw = false
          break
        }
        if (succumb(to, value)) {
          threw = false
          value = undefined
        }
      } catch (error) {
        // It cannot start; what says so goes to the next one, as in Python.
        threw = true
        value = error
      }
      if (threw && isExit(value)) threw = false
    }
    to = to.parent!
  }

  bury(me)
  const context: [object, unknown] | undefined = to.life === UNSTARTED ? [resourceFor(to), frameFor(to)] : undefined
  handOver(to, threw, value)
  return context
}

function bury(inner: Inner): void {
  endContext(inner)
  inner.life = DEAD
  inner.index = -1
  inner.run = undefined
  inner.settle = undefined
  strike(inner)
}

/** Finds out who runs, and who died of it, after V8 has ended stacks on its own. */
function recover(): void {
  mail[FLAGS]! &= ~ENDED
  const index = mail[SELF_INDEX]
  const generation = mail[SELF_GENERATION]
  living().forEach((inner) => {
    if (inner.index === -1) return
    if (inner.index === index && inner.generation === generation) reset(inner)
    address(inner.index, inner.generation)
    if (connection().epoch() !== -1) return
    const { settle } = inner
    bury(inner)
    settle?.(
      true,
      new GreenletError('ERR_GREENLET_ENDED', `greenlet '${inner.name}' was ended by V8, as by a time limit`),
    )
  })
}

/** Looks up the function that `inner` is to run. A getter may throw here, or switch. */
function prepare(inner: Inner, args: unknown[]): Start {
  const greenlet = inner.strong! // until the start
  const run: unknown = greenlet.run
  // Where a getter has started or ended it, the caller does not use this.
  if (typeof run !== 'function' && inner.life === UNSTARTED) {
    throw typeError(
      `greenlet '${inner.name}' has no run function: pass one to new Greenlet(run) or give its class a run() method`,
      'ERR_GREENLET_NO_RUN',
    )
  }
  const given = run === inner.run || Object.hasOwn(greenlet, 'run')
  return { run: run as Run, receiver: given ? undefined : greenlet, args, threw: false }
}

/** What a switch with these arguments arrives as. */
function pack(args: unknown[]): unknown {
  return args.length > 1 ? args : args[0]
}

function waiting(inner: Inner, target: Inner): GreenletError {
  const which = inner === target ? 'it' : `'${target.name}', dead, passes on to it, and it`
  return new GreenletError(
    'ERR_GREENLET_WAITING',
    `greenlet '${inner.name}' cannot be switched to: ${which} is in wait() or sleep(), which the event loop ends; ` +
      'use throw() or kill() to interrupt it',
  )
}
