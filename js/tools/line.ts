/**
 * The line in which greenlets wait for their turn: the part that all tools have in common. The first that came is the
 * first that gets a turn.
 *
 * A greenlet that gets its turn runs later, in a job of its own. It may be killed until then, or its time may be up. Then
 * it hands its turn on. This is the one place that does so; a tool only says how.
 */

import { Greenlet, tellWait, wait } from '../engine.ts'
import type { ToldByTool, ToolWait } from '../common/tool-wait.ts'
import type { Limits } from './options.ts'

/** Where one greenlet waits. */
interface Place<T> {
  readonly greenlet: Greenlet
  previous: Place<T> | undefined
  next: Place<T> | undefined
  /** Whether it has left the line: it has its turn, it was refused, or its wait has ended otherwise. */
  left: boolean
  turn: T | undefined
  /** Set where it gets an error in place of a turn. */
  refusal: { readonly error: unknown } | undefined
  wake: () => void
}

export class Line<T = void> implements ToldByTool {
  readonly #kind: ToolWait['kind']
  readonly #tool: object
  readonly #tell: ((tool: never) => Partial<ToolWait>) | undefined
  #first: Place<T> | undefined
  #last: Place<T> | undefined
  #length = 0

  /**
   * All of it is for dumps.
   *
   * @param kind what the greenlets wait for
   * @param tell says more of the tool; it must not call code of the program
   */
  constructor(kind: ToolWait['kind'], tool: object, tell?: (tool: never) => Partial<ToolWait>) {
    this.#kind = kind
    this.#tool = tool
    this.#tell = tell
  }

  /** What a dump tells of the greenlets in the line. */
  get told(): ToolWait {
    return { kind: this.#kind, tool: this.#tool, waiting: this.#length, ...this.#tell?.(this.#tool as never) }
  }

  /** How many greenlets wait for their turn. */
  get length(): number {
    return this.#length
  }

  /**
   * Blocks the current greenlet until `next` gives it its turn. Returns what `next` was called with.
   *
   * @param handOn takes the turn back if the greenlet was killed, or its time was up, after it got its turn
   * @throws what ended the wait; the greenlet has left the line then
   */
  wait(limits: Limits | undefined, handOn: (turn: T) => void): T {
    const place = this.#append()
    // The executor runs at once.
    const turn = new Promise<void>((resolve) => (place.wake = resolve))
    tellWait(turn, this)
    try {
      wait(turn, limits)
    } catch (error) {
      if (!place.left) this.#remove(place)
      else if (place.refusal === undefined) handOn(place.turn as T)
      throw error
    }
    if (place.refusal !== undefined) throw place.refusal.error
    return place.turn as T
  }

  /** Gives the first greenlet its turn. Returns that greenlet; undefined where none waits. Does not switch to it. */
  next(turn: T): Greenlet | undefined {
    const place = this.#first
    if (place === undefined) return undefined
    this.#remove(place)
    place.turn = turn
    place.wake()
    return place.greenlet
  }

  /** Gives each greenlet that waits now its turn. */
  all(turn: T): void {
    while (this.next(turn) !== undefined);
  }

  /** Throws `error` in each greenlet that waits now. */
  refuse(error: unknown): void {
    while (this.#first !== undefined) {
      const place = this.#first
      this.#remove(place)
      place.refusal = { error }
      place.wake()
    }
  }

  #append(): Place<T> {
    const place: Place<T> = {
      greenlet: Greenlet.current,
      previous: this.#last,
      next: undefined,
      left: false,
      turn: undefined,
      refusal: undefined,
      wake: nothing,
    }
    if (this.#last === undefined) this.#first = place
    else this.#last.next = place
    this.#last = place
    this.#length++
    return place
  }

  #remove(place: Place<T>): void {
    const { previous, next } = place
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    place.previous = place.next = undefined
    place.left = true
    this.#length--
  }
}

function nothing(): void {}
