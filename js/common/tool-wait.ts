/**
 * What a tool tells a dump of a greenlet that waits in it. The promise that such a greenlet waits for leads to it, by a
 * property that no other code can see.
 */

/** The key of that property. */
const WAITS_ON: unique symbol = Symbol('greenlets.waitsOn')

const { getOwnPropertyDescriptor } = Object

/** For a promise that no code of the program has: notes what a greenlet that waits for it waits for. */
export function tellWait(promise: Promise<unknown>, told: ToldByTool): void {
  ;(promise as { [WAITS_ON]?: ToldByTool })[WAITS_ON] = told
}

/** What was noted; undefined where it was not. */
export function toldOf(promise: object): ToolWait | undefined {
  // Not by `in` or a plain read, which may reach a Proxy among the prototypes.
  return (getOwnPropertyDescriptor(promise, WAITS_ON)?.value as ToldByTool | undefined)?.told
}

/** The value of that property. */
export interface ToldByTool {
  readonly told: ToolWait
}

export interface ToolWait {
  readonly kind:
    'lock' | 'condition' | 'queue item' | 'queue place' | 'semaphore' | 'event' | 'pool' | 'group' | 'greenlets'
  /** The tool, such as a Lock. */
  readonly tool: object
  /** How many greenlets wait there. */
  readonly waiting: number
  /** The greenlet that has it, for a lock. */
  readonly holder?: object | null
  /** The greenlets and promises that have to end, where the tool knows them. */
  readonly joined?: readonly unknown[]
}
