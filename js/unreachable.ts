/**
 * Suspended greenlets that nobody can reach any more are ended, as Python greenlet does when the last reference goes:
 * GreenletExit is thrown inside, so that `finally` blocks run and the stack is given back. The collector finds them; it is
 * done in a later turn of the event loop, on main.
 *
 * One that is held by a variable of its own stack is always reachable, and stays until it is killed or the thread ends. So is
 * one that waits: the promise or timer holds it, and its stack holds that.
 */

import { GreenletExit } from './errors.ts'
import { DEAD, type Inner, LIVE, main } from './inner.ts'
import { deliver, here } from './life.ts'
import { whenUnreachable } from './registry.ts'

const unreachable: Inner[] = []

whenUnreachable((inner) => {
  if (inner.life !== DEAD && unreachable.push(inner) === 1) setImmediate(endAll)
})

function endAll(): void {
  // A loop within the loop, as in a paused debugger, in a greenlet: what it called must return first.
  if (here() !== main) {
    setImmediate(endAll)
    return
  }
  // Ending one can take time and make others unreachable: those come in another turn.
  unreachable.splice(0).forEach((inner) => {
    // It was found meanwhile, by Greenlet.all() or as somebody's parent.
    if (inner.life !== DEAD && inner.weak?.deref() === undefined) end(inner)
  })
}

function end(inner: Inner): void {
  const { settle } = inner
  // Whatever it comes to goes nowhere, also if it waits in a `finally` and ends later.
  inner.killers = [main]
  inner.settle ??= (threw, error) => {
    if (threw) warn(inner, 'ended with an error', error)
  }
  try {
    deliver(inner, true, new GreenletExit())
  } catch (error) {
    warn(inner, 'could not be ended', error)
  }
  if ((inner.life as number) === LIVE) {
    inner.killers = undefined
    inner.settle = settle
    warn(inner, 'caught GreenletExit and switched away; it stays suspended, and Greenlet.all() finds it')
  }
}

function warn(inner: Inner, what: string, error?: unknown): void {
  const detail = error instanceof Error ? error.stack : error === undefined ? undefined : String(error)
  process.emitWarning(`greenlet '${inner.name}', which nobody could reach any more, ${what}`, {
    type: 'GreenletWarning',
    code: 'GREENLET_UNREACHABLE',
    ...(detail !== undefined && { detail }),
  })
}
