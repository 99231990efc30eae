/**
 * What the package knows of a greenlet. The public `Greenlet` objects may be subclassed and have any shape; these have one,
 * which keeps a switch fast, and they can be passed between the modules without being shown to users.
 */

import type { AsyncResource } from 'node:async_hooks'
import { nameOf } from './check.ts'
import type { SharedContext } from './context.ts'
import type { Greenlet } from './greenlet.ts'

/** Has not been switched to: no stack yet. */
export const UNSTARTED = 0
/** Has a stack: it runs, or is suspended and can be switched to. */
export const LIVE = 1
/** Is suspended in `wait()` or `sleep()`. */
export const WAITING = 2
/** Has ended: whatever is sent to it goes to its parent. */
export const DEAD = 3

export type Life = typeof UNSTARTED | typeof LIVE | typeof WAITING | typeof DEAD

export type Run = (...args: unknown[]) => unknown

/** One blocking call of `wait()` or `sleep()`. */
export interface BlockingCall {
  /** `undefined` while it is pending. */
  outcome: 'value' | 'error' | undefined
  value: unknown
}

let made = 0

export class Inner {
  /** The id of its stack. -1 says that there is none, which is also how native is told to make one. */
  index = -1
  generation = 0
  life: Life = UNSTARTED

  /** Null for main alone. Kept after death: a dead greenlet passes on what it gets. */
  parent: Inner | null
  /** Who are in `kill()` of this greenlet: one that is being killed may switch to another that kills it too. */
  killers: Inner[] | undefined = undefined
  /** The call that it is blocked in, if it is waiting. */
  call: BlockingCall | undefined = undefined

  /** Takes the result instead of the parent: a spawned greenlet's promise. */
  settle: ((threw: boolean, value: unknown) => void) | undefined = undefined
  /** What it was given to run; undefined once it has started. A subclass may have a method instead. */
  run: Run | null | undefined
  /** Undefined for a name that is made of the serial when somebody asks. */
  label: string | undefined
  /** In the order they are made, from 1; 0 is main. */
  readonly serial = made++
  /** Where the registry keeps it; undefined among those that outlived the job they started in. */
  place: number | WeakRef<Inner> | undefined = -1
  /** Its object, as long as that lives anyway; see registry.ts. `greenletOf` in greenlet.ts finds it. */
  strong: Greenlet | undefined
  /** Its object from then on. */
  weak: WeakRef<Greenlet> | undefined = undefined
  /** The async context it runs in; null for none, and for main, whose context is that of each callback. */
  context: AsyncResource | null = null
  /** Set where others know the context too. */
  shared: SharedContext | undefined = undefined

  constructor(greenlet: Greenlet, parent: Inner | null, run: Run | null | undefined) {
    this.strong = greenlet
    this.parent = parent
    this.run = run
    this.label = nameOf(run)
  }

  /** Gets what comes of it, instead of the parent. */
  get killer(): Inner | undefined {
    return this.killers?.at(-1)
  }

  get name(): string {
    return this.label ?? `greenlet-${this.serial}`
  }
}

/** This thread's own stack. Its object is set where the class is made. */
export const main = new Inner(undefined as never, null, undefined)
main.life = LIVE
main.label = 'main'
