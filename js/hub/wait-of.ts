/**
 * What a suspended greenlet waits for. It is read from what the wait itself keeps, so a wait does no work for it. No code of
 * the program is called: no getter, no trap of a Proxy.
 */

import { isPromise } from 'node:util/types'
import { type ToolWait, toldOf } from '../common/tool-wait.ts'
import { type BlockingCall, type GreenletRecord, LIVE, WAITING } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet, recordOf } from '../greenlet/greenlet.ts'

/** What a greenlet waits for. */
export type Wait = {
  /** Milliseconds that it has waited, where that is known. */
  readonly since?: number
  /** When the wait ends by itself: the milliseconds it was given, and those that are left. */
  readonly limit?: { readonly ms: number; readonly left?: number }
  /** Whether a signal can end it. */
  readonly hasSignal?: boolean
} & (
  | { readonly kind: 'switch' | 'turn' | 'timer' }
  | { readonly kind: 'promise' | 'thenable'; readonly value: unknown }
  | { readonly kind: 'greenlet'; readonly greenlet: GreenletRecord }
  | { readonly kind: 'tool'; readonly told: ToolWait }
)

const { getOwnPropertyDescriptor } = Object

/** The time by which Node's timers go, in milliseconds. Undefined where a program has replaced the timers. */
export function timersNow(): number | undefined {
  try {
    const timer = thread.realm.setTimeout(() => {}, 1)
    const start = fieldOf(timer, '_idleStart')
    thread.realm.clearTimeout(timer)
    return start
  } catch {
    // The replaced one throws.
    return undefined
  }
}

/**
 * What a greenlet waits for; undefined where it is not suspended.
 *
 * @param now of {@link timersNow}
 */
export function waitOf(record: GreenletRecord, now: number | undefined): Wait | undefined {
  if (record === thread.current || (record.state !== LIVE && record.state !== WAITING)) return undefined
  const call = record.blockingCall
  if (call === undefined) return { kind: 'switch' }
  if (call.outcome !== undefined) return { kind: 'turn' }
  return { ...goalOf(call), ...limitsOf(call, now) }
}

/** A deadline around the code of a greenlet, such as that of `timeout()`. */
export interface ToldDeadline {
  /** The next one around it. */
  readonly outer: ToldDeadline | undefined
  /** Whether it has ended a wait: it does so once. */
  readonly isThrown: boolean
}

const deadlines = new WeakMap<GreenletRecord, ToldDeadline>()

/** Notes the innermost deadline of a greenlet, for dumps; undefined where it has none any more. */
export function tellDeadline(greenlet: Greenlet, deadline: ToldDeadline | undefined): void {
  const record = recordOf(greenlet)
  if (deadline === undefined) deadlines.delete(record)
  else deadlines.set(record, deadline)
}

/** Whether a deadline will end the wait of a greenlet. */
function hasDeadline(record: GreenletRecord): boolean {
  for (let deadline = deadlines.get(record); deadline !== undefined; deadline = deadline.outer) {
    if (!deadline.isThrown) return true
  }
  return false
}

/**
 * What a greenlet waits for, if that can only be ended by other greenlets: it waits for the end of a greenlet, or in a tool,
 * without a limit. Takes little time where it waits for something else.
 */
export function endlessWaitOf(record: GreenletRecord): Wait | undefined {
  const call = record.state === WAITING ? record.blockingCall : undefined
  if (call === undefined || call.outcome !== undefined || call.limits !== undefined || call.ms !== undefined)
    return undefined
  const goal = goalOf(call)
  return (goal.kind === 'greenlet' || goal.kind === 'tool') && !hasDeadline(record) ? goal : undefined
}

function goalOf({ ms, waitsFor }: BlockingCall): Wait {
  if (ms !== undefined) return { kind: 'timer' }
  if (isGreenlet(waitsFor)) return { kind: 'greenlet', greenlet: recordOf(waitsFor as Greenlet) }
  if (!isPromise(waitsFor)) return { kind: 'thenable', value: waitsFor }
  const told = toldOf(waitsFor)
  return told === undefined ? { kind: 'promise', value: waitsFor } : { kind: 'tool', told }
}

const NO_LIMITS = {}

function limitsOf(call: BlockingCall, now: number | undefined): Omit<Wait, 'kind'> {
  const { limits, ms = limits?.ms } = call
  if (ms === undefined && limits === undefined && call.since === 0) return NO_LIMITS
  const timer = call.ms === undefined ? limits?.timer : (call.waitsFor as object)
  const left = ms === undefined ? undefined : leftOf(timer, now)
  let since = call.since > 0 ? performance.now() - call.since : undefined
  if (since === undefined && call.ms !== undefined && left !== undefined) since = Math.max(0, call.ms - left)
  return {
    ...(since === undefined ? {} : { since }),
    ...(ms === undefined ? {} : { limit: left === undefined ? { ms } : { ms, left } }),
    ...(limits?.hasSignal ? { hasSignal: true } : {}),
  }
}

/** The milliseconds until one of Node's timers is due. Other ones, such as those of a test runner, do not tell. */
function leftOf(timer: object | undefined, now: number | undefined): number | undefined {
  if (timer === undefined || now === undefined) return undefined
  const start = fieldOf(timer, '_idleStart')
  const length = fieldOf(timer, '_idleTimeout')
  return start === undefined || length === undefined ? undefined : Math.max(0, start + length - now)
}

function fieldOf(timer: unknown, key: string): number | undefined {
  if (typeof timer !== 'object' || timer === null) return undefined
  const value = getOwnPropertyDescriptor(timer, key)?.value as unknown
  return typeof value === 'number' ? value : undefined
}
