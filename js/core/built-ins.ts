/**
 * Loads modules of Node.js whose methods this package replaces (node-patches.ts, native-holds.ts), at once when this
 * package is loaded. The methods are replaced later, when the thread makes its first greenlet. A time limit of `vm` may
 * end that anywhere, and a module of Node.js that is ended while it is loaded stays without its exports in this thread.
 * All three together take 0.5 ms.
 */

import type { Method, Methods } from './replace.ts'

type Constructor = new (...args: unknown[]) => Record<string, Method>

/** What is used of `node:sqlite`. Not all of it exists on each Node.js. */
export interface Sqlite {
  readonly DatabaseSync: Constructor
  readonly StatementSync: Constructor
}

export interface LoadedSqlite {
  readonly sqlite: Sqlite
  /** The arguments of the warnings of Node.js that were kept back when it was loaded. */
  readonly warnings: readonly Parameters<typeof process.emitWarning>[]
}

/** What is used of `node:inspector` and `node:inspector/promises`. */
export interface WithSession {
  readonly Session: { readonly prototype: Methods }
}

interface Inspectors {
  readonly callbacks?: WithSession
  readonly promises?: WithSession
}

/** Both modules. None where this Node.js has no inspector. */
export const findInspectors = load((): Inspectors => {
  if (!process.features.inspector) return {}
  const find = (name: string) => process.getBuiltinModule(name) as unknown as WithSession
  return { callbacks: find('node:inspector'), promises: find('node:inspector/promises') }
})

/**
 * `node:sqlite`, because it cannot be seen when the program loads it. Some releases of Node.js warn that it is
 * experimental. Undefined where this Node.js has no such module.
 */
export const findSqlite = load((): LoadedSqlite | undefined => {
  const getBuiltin = process.getBuiltinModule as ((name: string) => Sqlite | undefined) | undefined
  if (getBuiltin === undefined) return undefined
  const warnings: Parameters<typeof process.emitWarning>[] = []
  const { emitWarning } = process
  const keepBack = ((...args: Parameters<typeof emitWarning>) => warnings.push(args)) as typeof emitWarning
  // Does nothing where `process` is frozen.
  Reflect.set(process, 'emitWarning', keepBack)
  try {
    const exported = getBuiltin.call(process, 'node:sqlite')
    // A copy, because the program may replace the classes before the first greenlet.
    return exported === undefined ? undefined : { sqlite: { ...exported }, warnings }
  } finally {
    Reflect.set(process, 'emitWarning', emitWarning)
  }
})

/**
 * Calls `find` now. The function that it returns gives what `find` has returned, or throws what it has thrown: runtimes
 * other than Node.js load this package too, to be told the reason when they make a greenlet.
 */
function load<T>(find: () => T): () => T {
  try {
    const found = find()
    return () => found
  } catch (error) {
    return () => {
      throw error
    }
  }
}
