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

/** What is known of `node:sqlite` after it was loaded. */
export interface LoadedSqlite {
  readonly sqlite: Sqlite
  /** Whether the program had loaded it before. */
  readonly wasLoaded: boolean
  /** The arguments of the warnings of Node.js that were kept back when it was loaded. */
  readonly warnings: readonly Parameters<typeof process.emitWarning>[]
}

interface WithSession {
  readonly Session: { readonly prototype: Methods }
}

/** `node:inspector` and `node:inspector/promises`. None where this Node.js has no inspector. */
export const findInspectors = load((): readonly WithSession[] => {
  if (!process.features.inspector) return []
  const names = ['node:inspector', 'node:inspector/promises'] as const
  return names.map((name) => process.getBuiltinModule(name) as unknown as WithSession)
})

/**
 * `node:sqlite`, because the program may load it later in ways that cannot be seen. Some releases of Node.js warn that
 * it is experimental. Undefined where this Node.js has no such module.
 */
export const findSqlite = load((): LoadedSqlite | undefined => {
  const getBuiltin = process.getBuiltinModule as ((name: string) => Sqlite | undefined) | undefined
  if (getBuiltin === undefined) return undefined
  const { moduleLoadList } = process as unknown as { moduleLoadList?: string[] }
  const wasLoaded = moduleLoadList?.includes('NativeModule sqlite') ?? false
  const warnings: Parameters<typeof process.emitWarning>[] = []
  const { emitWarning } = process
  const keepBack = ((...args: Parameters<typeof emitWarning>) => warnings.push(args)) as typeof emitWarning
  // Does nothing where `process` is frozen.
  Reflect.set(process, 'emitWarning', keepBack)
  try {
    const sqlite = getBuiltin.call(process, 'node:sqlite')
    return sqlite === undefined ? undefined : { sqlite, wasLoaded, warnings }
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
