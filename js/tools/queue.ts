/**
 * `Queue`: items from some greenlets, or from callbacks, for others.
 */

import { GreenletError } from '../engine.ts'
import { Line } from './line.ts'
import { checkCount, checkLimits, type Limits, optionsOf } from './options.ts'

/**
 * The options of `new Queue()`.
 *
 * @example
 * ```js
 * const queue = new Queue({ max: 1 })
 * queue.offer('a') // true
 * queue.offer('b') // false
 * ```
 */
export interface QueueOptions {
  /** While it has so many items, `put` blocks and `offer` returns false. Default: Infinity. */
  readonly max?: number | undefined
}

/** What a greenlet that waits is refused with, once the queue is closed. */
const CLOSED = Symbol('closed')

/**
 * A queue. `put` adds an item, and blocks while the queue is full; `get` takes the oldest item, and blocks while there is
 * none. Both serve greenlets in the order in which they came. A greenlet that is killed while it waits takes no item, and
 * leaves none. Several greenlets may iterate one queue; each item goes to one of them.
 *
 * On main, and in callbacks, use `offer` and `poll`, which never block. `put` and `get` work there too while they do not
 * have to block.
 *
 * @example
 * ```js
 * const queue = new Queue({ max: 10 })
 * const sum = spawn(() => {
 *   let total = 0
 *   for (const item of queue) total += item // ends when the queue is closed and empty
 *   return total
 * })
 * spawn(() => {
 *   for (let i = 1; i <= 100; i++) queue.put(i)
 *   queue.close()
 * })
 * await sum // 5050
 * ```
 */
export class Queue<T = unknown> implements Iterable<T> {
  readonly #max: number
  #items: T[] = []
  /** Where the oldest item is; those before it were taken. */
  #head = 0
  readonly #getters = new Line('queue item', this)
  readonly #putters = new Line('queue place', this)
  /** Items that greenlets will take that have got their turn and have not run yet. */
  #promised = 0
  /** Places that greenlets will fill that have got their turn and have not run yet. */
  #reserved = 0
  #closing: { readonly error: unknown } | undefined

  /** @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG` */
  constructor(options?: QueueOptions) {
    const { max = Infinity } = optionsOf('new Queue()', options, ['max'])
    checkCount('the option max of a Queue', max, 1, true)
    this.#max = max
  }

  /** How many items are in it. */
  get size(): number {
    return this.#items.length - this.#head
  }

  /** Whether `close` was called. There may still be items. */
  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** How many greenlets wait for an item. */
  get getting(): number {
    return this.#getters.length
  }

  /** How many greenlets wait until they can put an item. */
  get putting(): number {
    return this.#putters.length
  }

  /**
   * Adds an item. Blocks while the queue is full.
   *
   * @throws GreenletError `ERR_GREENLET_CLOSED` if the queue is closed, or is closed meanwhile; the item is not in it then.
   *   `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  put(item: T, limits?: Limits): void {
    checkLimits('Queue.put()', limits)
    if (this.#closing === undefined && this.#room() <= 0) this.#awaitPlace(limits)
    if (this.#closing !== undefined) throw closedError('Queue.put()')
    this.#add(item)
  }

  /** Adds an item if the queue is neither full nor closed, and returns whether it did. Never blocks: for callbacks. */
  offer(item: T): boolean {
    if (this.#closing !== undefined || this.#room() <= 0) return false
    this.#add(item)
    return true
  }

  /**
   * Takes the oldest item. Blocks while there is none.
   *
   * @throws GreenletError `ERR_GREENLET_CLOSED` if the queue is closed and empty, or the error that it was closed with.
   *   `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  get(limits?: Limits): T {
    checkLimits('Queue.get()', limits)
    this.#awaitItem(limits)
    if (this.#ended()) throw this.#closing!.error ?? closedError('Queue.get()')
    return this.#take()
  }

  /** Takes the oldest item if there is one; undefined if not. Never blocks. */
  poll(): T | undefined {
    return this.#available() > 0 ? this.#take() : undefined
  }

  /**
   * From now on nothing can be added. The items that are in the queue can still be taken. Greenlets that wait for an item
   * get `ERR_GREENLET_CLOSED`, and iterations end. Closing it again does nothing.
   *
   * @param error what `get` and iterations throw, once the queue is empty, in place of that
   */
  close(error?: unknown): void {
    if (this.#closing !== undefined) return
    this.#closing = { error }
    this.#getters.refuse(CLOSED)
    this.#putters.refuse(CLOSED)
  }

  /**
   * Takes items until the queue is closed and empty, as `get` does.
   *
   * @throws the error that the queue was closed with
   */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (;;) {
      this.#awaitItem(undefined)
      if (this.#ended()) {
        const { error } = this.#closing!
        if (error !== undefined) throw error
        return
      }
      yield this.#take()
    }
  }

  /** Blocks until there is an item for this greenlet, or the queue has ended. */
  #awaitItem(limits: Limits | undefined): void {
    if (this.#available() > 0 || this.#closing !== undefined) return
    try {
      this.#getters.wait(limits, () => {
        this.#promised--
        this.#callGetter()
      })
      this.#promised--
    } catch (error) {
      if (error !== CLOSED) throw error
    }
  }

  /** Blocks until there is a place for an item of this greenlet, or the queue is closed. */
  #awaitPlace(limits: Limits | undefined): void {
    try {
      this.#putters.wait(limits, () => {
        this.#reserved--
        this.#callPutter()
      })
      this.#reserved--
    } catch (error) {
      if (error !== CLOSED) throw error
    }
  }

  /** Whether it is closed, and no item is left for a greenlet that has no turn. */
  #ended(): boolean {
    return this.#closing !== undefined && this.#available() <= 0
  }

  #available(): number {
    return this.size - this.#promised
  }

  #room(): number {
    return this.#max - this.size - this.#reserved
  }

  #add(item: T): void {
    this.#items.push(item)
    this.#callGetter()
  }

  #take(): T {
    const item = this.#items[this.#head] as T
    this.#items[this.#head++] = undefined as T
    // Not `shift()`, which moves all items.
    if (this.#head > 32 && 2 * this.#head > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    this.#callPutter()
    return item
  }

  /** Gives the first greenlet that waits for an item its turn, if there is an item for it. */
  #callGetter(): void {
    if (this.#available() > 0 && this.#getters.next() !== undefined) this.#promised++
  }

  /** Gives the first greenlet that waits for a place its turn, if there is one for it. */
  #callPutter(): void {
    if (this.#room() > 0 && this.#putters.next() !== undefined) this.#reserved++
  }
}

function closedError(what: string): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_CLOSED',
    `${what}: the Queue is closed; iterate it with for...of, which ends then, or test 'closed' before`,
  )
}
