/**
 * `Lock` and `Condition`: one greenlet at a time, and waiting inside until something has changed.
 */

import { Greenlet, GreenletError } from '../engine.ts'
import { finished, refuseOnMain } from './calls.ts'
import { Line } from './line.ts'
import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { checkCount, checkFunction, checkLimits, type Limits, optionsOf } from './options.ts'

/** How often a greenlet tries to get its lock back after a `Condition.wait()`, if it is interrupted each time. */
const MOST_ATTEMPTS = 1000

/**
 * Calls for these attempts. They are at different places, because a killed greenlet that comes back to the same wait is
 * told again to end. If all of them were interrupted by kills, the greenlet refuses to end, and gets its lock.
 */
const ATTEMPTS: readonly ((lock: Lock) => void)[] = [
  (lock) => lock.acquire(),
  (lock) => lock.acquire(),
  (lock) => lock.acquire(),
  (lock) => lock.acquire(),
  (lock) => lock.acquire(),
]

/** What `Condition` uses of a lock. The class sets it. */
const access = {} as {
  /** Leaves the lock, and returns how often it was entered. */
  leave(lock: Lock): number
  /** Takes the lock again as often. Returns the last error that interrupted it meanwhile, if there was one. */
  enterAgain(lock: Lock, depth: number): { readonly error: unknown } | undefined
  check(lock: Lock, what: string): void
  /** For dumps. */
  tell(lock: Lock): { readonly holder: Greenlet | null }
}

/**
 * The options of `new Lock()`.
 *
 * @example
 * ```js
 * new Lock({ reentrant: true }).locked // false
 * ```
 */
export interface LockOptions {
  /** Whether the greenlet that has the lock may enter it again. Default: false. */
  readonly reentrant?: boolean | undefined
}

/**
 * One greenlet at a time, in the order in which they came. The lock goes from the greenlet that leaves it to the first
 * that waits, so no other one can take it in between. It belongs to the greenlet that has taken it, and only that one can
 * release it; a greenlet that ends without releasing it keeps it for ever, so prefer `run`.
 *
 * On main, everything works while the lock is free. All callbacks of the event loop are main, so do not keep a lock there
 * from one callback to the next.
 *
 * @example
 * ```js
 * const lock = new Lock()
 * const log = []
 * const write = (name) =>
 *   lock.run(() => {
 *     log.push(`${name} begins`)
 *     sleep(1)
 *     log.push(`${name} ends`)
 *   })
 * await Promise.all([spawn(write, 'a'), spawn(write, 'b')])
 * log.join() // 'a begins,a ends,b begins,b ends'
 * ```
 */
export class Lock {
  readonly #line = new Line('lock', this, access.tell)
  readonly #reentrant: boolean
  #owner: Greenlet | null = null
  #depth = 0
  /** Greenlets that could not get the lock back after a `Condition.wait()`: how many calls of `release` are still to come. */
  readonly #lost = new WeakMap<Greenlet, number>()

  static {
    access.leave = (lock) => {
      const depth = lock.#depth
      lock.#pass()
      return depth
    }
    access.enterAgain = (lock, depth) => lock.#enterAgain(depth)
    access.tell = (lock) => ({ holder: lock.#owner })
    access.check = (lock, what) => lock.#checkOwner(what)
  }

  /** @throws TypeError `ERR_GREENLET_INVALID_ARG` */
  constructor(options?: LockOptions) {
    const { reentrant = false } = optionsOf('new Lock()', options, ['reentrant'])
    if (typeof reentrant !== 'boolean') {
      throw typeError(`the option reentrant of a Lock is true or false, not ${describe(reentrant)}`)
    }
    this.#reentrant = reentrant
  }

  /** Whether a greenlet has the lock. */
  get locked(): boolean {
    return this.#owner !== null
  }

  /** The greenlet that has the lock; null while it is free. */
  get owner(): Greenlet | null {
    return this.#owner
  }

  /** How many greenlets wait for the lock. */
  get waiting(): number {
    return this.#line.length
  }

  /**
   * Takes the lock. Blocks while another greenlet has it.
   *
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws GreenletError `ERR_GREENLET_DEADLOCK` if this greenlet has it, and it is not reentrant;
   *   `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  acquire(limits?: Limits): void {
    checkLimits('Lock.acquire()', limits)
    if (this.tryAcquire()) return
    const me = Greenlet.current
    if (this.#owner === me) {
      throw new GreenletError(
        'ERR_GREENLET_DEADLOCK',
        `greenlet ${quoted(me.name)} has this Lock and would wait for itself; use new Lock({ reentrant: true }) if it may enter again`,
      )
    }
    this.#line.wait(limits, () => this.#pass())
  }

  /** Takes the lock if that does not block, and returns whether it did. */
  tryAcquire(): boolean {
    const me = Greenlet.current
    if (this.#owner === null) this.#owner = me
    else if (this.#owner !== me || !this.#reentrant) return false
    this.#depth++
    return true
  }

  /**
   * Gives the lock back: a reentrant one when it is called as often as `acquire`. Never blocks and never switches.
   *
   * @throws GreenletError `ERR_GREENLET_NOT_HELD` if this greenlet does not have it
   */
  release(): void {
    const me = Greenlet.current
    const lost = this.#lost.get(me)
    if (this.#owner !== me && lost !== undefined) {
      if (lost > 1) this.#lost.set(me, lost - 1)
      else this.#lost.delete(me)
      return
    }
    this.#checkOwner('release()')
    if (--this.#depth === 0) this.#pass()
  }

  /**
   * Takes the lock, calls `fn`, and gives the lock back, also if `fn` throws or the greenlet is killed.
   *
   * @param fn may be async; its promise is waited for then
   * @throws any error of `fn`, and those of `acquire`
   */
  run<T>(fn: () => T, limits?: Limits): Awaited<T> {
    checkFunction('Lock.run()', fn)
    this.acquire(limits)
    try {
      return finished(fn())
    } finally {
      this.release()
    }
  }

  #checkOwner(what: string): void {
    const me = Greenlet.current
    if (this.#owner === me) return
    const owner = this.#owner === null ? 'it is free' : `${quoted(this.#owner.name)} has it`
    throw new GreenletError(
      'ERR_GREENLET_NOT_HELD',
      `greenlet ${quoted(me.name)} called ${what} and does not have the Lock: ${owner}; call acquire() first, or use run()`,
    )
  }

  /** The lock goes to the first greenlet that waits; without one it is free. */
  #pass(): void {
    this.#owner = this.#line.next() ?? null
    this.#depth = this.#owner === null ? 0 : 1
  }

  #enterAgain(depth: number): { readonly error: unknown } | undefined {
    let interruption: { readonly error: unknown } | undefined
    for (let attempts = 0; attempts < MOST_ATTEMPTS; attempts++) {
      try {
        ATTEMPTS[attempts % ATTEMPTS.length]!(this)
        this.#depth = depth
        return interruption
      } catch (error) {
        interruption = { error }
      }
    }
    this.#lost.set(Greenlet.current, depth)
    return interruption
  }
}

/**
 * Waiting inside of a `Lock` until something has changed. `wait` gives the lock back, blocks until another greenlet calls
 * `notify`, and takes the lock again before it returns or throws. Greenlets are woken in the order in which they came. A
 * greenlet that was notified and is killed before it runs hands the notification on.
 *
 * All methods throw `ERR_GREENLET_NOT_HELD` if the current greenlet does not have the lock. On main, `notify` and
 * `notifyAll` work; `wait` is an error.
 *
 * @example
 * ```js
 * const changed = new Condition()
 * const items = []
 * const consumer = spawn(() =>
 *   changed.lock.run(() => {
 *     changed.waitFor(() => items.length > 0)
 *     return items.shift()
 *   }),
 * )
 * spawn(() =>
 *   changed.lock.run(() => {
 *     items.push('first')
 *     changed.notify()
 *   }),
 * )
 * await consumer // 'first'
 * ```
 */
export class Condition {
  /** The lock that must be held. Several conditions may share one. */
  readonly lock: Lock
  /** A turn says whether all were notified. */
  readonly #line = new Line<'one' | 'all'>('condition', this)

  /** @throws TypeError `ERR_GREENLET_INVALID_ARG` if `lock` is not a Lock */
  constructor(lock: Lock = new Lock()) {
    if (!(lock instanceof Lock)) throw typeError(`new Condition() takes a Lock, not ${describe(lock)}`)
    this.lock = lock
  }

  /** How many greenlets wait to be notified. */
  get waiting(): number {
    return this.#line.length
  }

  /**
   * Gives the lock back, blocks until this greenlet is notified, and takes the lock again. What was waited for may be
   * over by then, so call it in a loop, or use `waitFor`. Even if it throws, the greenlet has the lock again; to get it,
   * it may have to wait after it was killed. (A greenlet that is interrupted ten times meanwhile gives up.)
   *
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal; the time for taking the lock does not count
   * @throws GreenletError `ERR_GREENLET_NOT_HELD`, `ERR_GREENLET_WAIT_ON_MAIN`
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  wait(limits?: Limits): void {
    checkLimits('Condition.wait()', limits)
    access.check(this.lock, 'Condition.wait()')
    refuseOnMain('Condition.wait()')
    const depth = access.leave(this.lock)
    let notified: 'one' | 'all' | undefined
    let failure: { readonly error: unknown } | undefined
    try {
      notified = this.#line.wait(limits, (turn) => this.#handOn(turn))
    } catch (error) {
      failure = { error }
    }
    const interruption = access.enterAgain(this.lock, depth)
    if (interruption !== undefined) {
      // It will not use its notification.
      if (notified !== undefined) this.#handOn(notified)
      throw interruption.error
    }
    if (failure !== undefined) throw failure.error
  }

  /**
   * Waits until `holds` returns a true value, and returns that. `holds` is called with the lock held: at once, and after
   * each notification.
   *
   * @throws any error of `holds`, and those of `wait`; the timeout is for all of it
   */
  waitFor<T>(holds: () => T, limits?: Limits): T {
    checkFunction('Condition.waitFor()', holds)
    checkLimits('Condition.waitFor()', limits)
    access.check(this.lock, 'Condition.waitFor()')
    const { timeout, signal } = limits ?? {}
    const end = performance.now() + (timeout ?? 0)
    for (;;) {
      const value = holds()
      if (value) return value
      this.wait(timeout === undefined ? limits : { timeout: Math.max(0, end - performance.now()), signal })
    }
  }

  /**
   * Wakes the `count` greenlets that have waited longest, or all if there are fewer. They run when they get the lock.
   *
   * @throws GreenletError `ERR_GREENLET_NOT_HELD`
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  notify(count = 1): void {
    checkCount('the count of Condition.notify()', count, 1)
    access.check(this.lock, 'Condition.notify()')
    while (count-- > 0 && this.#line.next('one') !== undefined);
  }

  /**
   * Wakes all greenlets that wait now.
   *
   * @throws GreenletError `ERR_GREENLET_NOT_HELD`
   */
  notifyAll(): void {
    access.check(this.lock, 'Condition.notifyAll()')
    this.#line.all('all')
  }

  /** Where all were notified, each greenlet that could use the notification has its own. */
  #handOn(turn: 'one' | 'all'): void {
    if (turn === 'one') this.#line.next(turn)
  }
}
