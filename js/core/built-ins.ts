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
  /** Whether the program may have opened a database. */
  isUsed: boolean
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

/** `node:sqlite`, because it cannot be seen when the program loads it. Undefined where this Node.js has no such module. */
export const findSqlite = load((): LoadedSqlite | undefined => {
  const getBuiltin = process.getBuiltinModule as ((name: string) => Sqlite | undefined) | undefined
  if (getBuiltin === undefined) return undefined
  const { moduleLoadList } = process as unknown as { moduleLoadList?: string[] }
  const wasLoaded = moduleLoadList?.includes('NativeModule sqlite') ?? true
  const warnings: Parameters<typeof process.emitWarning>[] = []
  const { emitWarning } = process
  const keepBack = ((...args: Parameters<typeof emitWarning>) => warnings.push(args)) as typeof emitWarning
  // Does nothing where `process` is frozen.
  Reflect.set(process, 'emitWarning', keepBack)
  let exported: Sqlite | undefined
  let sqlite: Sqlite
  try {
    exported = getBuiltin.call(process, 'node:sqlite')
    // Another copy of this package may have loaded it. Then this calls its getter, and what that warns is kept back.
    sqlite = { ...exported! }
  } finally {
    Reflect.set(process, 'emitWarning', emitWarning)
  }
  if (exported === undefined) return undefined
  const found = { sqlite, isUsed: wasLoaded && warnings.length === 0 }
  if (!found.isUsed) noticeUse(exported, found, warnings)
  return found
})

/**
 * Sets `isUsed`, and emits the warnings of Node.js that were kept back, when the program reads the class, which an `import`
 * of the module does too.
 */
function noticeUse(exported: Sqlite, found: LoadedSqlite, warnings: readonly Parameters<typeof process.emitWarning>[]) {
  const own = Reflect.getOwnPropertyDescriptor(exported, 'DatabaseSync')!
  const restore = () => Reflect.defineProperty(exported, 'DatabaseSync', own)
  Reflect.defineProperty(exported, 'DatabaseSync', {
    configurable: true,
    enumerable: true,
    get() {
      restore()
      found.isUsed = true
      for (let i = 0; i < warnings.length; i++) Reflect.apply(process.emitWarning, process, warnings[i]!)
      return own.value as unknown
    },
    set(value: unknown) {
      restore()
      found.isUsed = true
      Reflect.set(exported, 'DatabaseSync', value)
    },
  })
}

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
