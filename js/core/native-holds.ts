/**
 * Replaces methods of Node.js that call JavaScript while C++ uses an object that the event loop or another call may free:
 * a port during `postMessage()`, a parser of `node:http`, a TLS connection, or a database and a statement of `node:sqlite` during a query.
 * In plain Node.js nothing else runs during such a call. But a greenlet can be suspended in it, so each of these methods protects the objects that
 * it uses until it returns.
 */

import { MessageChannel, MessagePort } from 'node:worker_threads'
import { findSqlite, type LoadedSqlite } from './built-ins.ts'
import { CallsInProgress } from './calls-in-progress.ts'
import { callHeld } from './held.ts'
import { patchHttpParsers } from './http-parsers.ts'
import { patchJsStreams } from './js-streams.ts'
import { type Method, type Methods, replace, replaceEach } from './replace.ts'
import { main, thread } from './thread.ts'
import { patchTlsCallbacks } from './tls-callbacks.ts'

/** Replaces all of them. */
export function patchNativeHolds(): void {
  patchPorts()
  patchHttpParsers()
  patchTlsCallbacks()
  patchJsStreams()
  const sqlite = findSqlite()
  if (sqlite !== undefined) patchSqlite(sqlite)
}

/**
 * `postMessage` of ports, and so of Workers and BroadcastChannels, which call it. It reads the message, and getters of
 * the message may switch away. If the port is closed meanwhile, by its other end too, the event loop frees it.
 */
function patchPorts(): void {
  let keeper: MessagePort | undefined
  const prototype = MessagePort.prototype as unknown as Methods
  const keep = prototype['postMessage']!
  replace(prototype, 'postMessage', (post) => {
    return function (...args) {
      // The event loop cannot turn while main is in this call.
      if (thread.current === main || (args.length < 2 && !isObject(args[0]))) return Reflect.apply(post, this, args)
      keeper ??= new MessageChannel().port1
      return postFromGreenlet(keep, keeper, post, this, args)
    }
  })
}

/**
 * Posts a message while Node.js holds the port. Node.js holds each port that a message is to transfer, until that
 * message is read. So the call is made by a getter of such a message, which then throws: nothing is transferred.
 */
function postFromGreenlet(keep: Method, keeper: MessagePort, post: Method, port: unknown, args: unknown[]): unknown {
  let outcome: 'value' | 'error' | undefined
  let value: unknown
  const message = {
    get call(): never {
      try {
        value = Reflect.apply(post, port, args)
        outcome = 'value'
      } catch (error) {
        value = error
        outcome = 'error'
      }
      throw undefined
    },
  }
  try {
    Reflect.apply(keep, keeper, [message, [port]])
  } catch {
    // The getter has thrown, or the port cannot be transferred: it is closed already, or not a port.
  }
  if (outcome === 'error') throw value
  if (outcome === 'value') return value
  return callHeld('postMessage()', () => Reflect.apply(post, port, args))
}

/** Replaces the methods that run SQL, and those that free what these use. */
function patchSqlite({ sqlite: { DatabaseSync, StatementSync }, warnings }: LoadedSqlite): void {
  /** Databases, statements and tag stores, while a method that may call JavaScript uses them. */
  const calls = new CallsInProgress()
  /** The database of a statement, an iterator or a tag store. */
  const databases = new WeakMap<object, object>()
  /** Stands for the database of statements that were prepared before the first greenlet. */
  const unknownDatabase = {}
  /** The statement of an iterator. */
  const statements = new WeakMap<object, object>()
  let iteratorIsPatched = false
  /** Not before this package itself has used it. */
  let willWarn = false

  const database = DatabaseSync.prototype as Methods
  replaceEach(database, ['exec', 'applyChangeset', 'loadExtension', 'serialize'], (method, name) => {
    return function (...args) {
      return useDatabase(this, name, () => Reflect.apply(method, this, args))
    }
  })
  // An authorizer may be called. SQLite keeps the statements that it compiles as a stack, so another statement must not
  // be compiled meanwhile.
  replace(database, 'prepare', (prepare) => {
    return function (...args) {
      const statement = useDatabase(this, 'prepare', () =>
        callHeld('prepare()', () => Reflect.apply(prepare, this, args)),
      )
      databases.set(statement as object, this as object)
      return statement
    }
  })
  replace(database, 'setAuthorizer', (setAuthorizer) => {
    return function (...args) {
      const authorizer: unknown = args[0]
      if (typeof authorizer === 'function') {
        args[0] = function (this: unknown, ...inner: unknown[]) {
          return callHeld('an authorizer of node:sqlite', () => Reflect.apply(authorizer, this, inner))
        }
      }
      return Reflect.apply(setAuthorizer, this, args)
    }
  })
  replace(database, 'createTagStore', (createTagStore) => {
    return function (...args) {
      beforeUse()
      const store = Reflect.apply(createTagStore, this, args)
      databases.set(store as object, this as object)
      // Each store has a prototype of its own.
      const prototype = Object.getPrototypeOf(store) as Methods
      patchExclusive(prototype, ['run', 'get', 'all', 'clear'], 'tag store')
      patchIterate(prototype, 'tag store')
      return store
    }
  })
  const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose')
  replaceEach(database, ['close', 'deserialize', dispose], (method) => {
    return function (...args) {
      if (isObject(this)) refuseEnd(this)
      return Reflect.apply(method, this, args)
    }
  })

  const statement = StatementSync.prototype as Methods
  patchExclusive(statement, ['run', 'get', 'all'], 'statement')
  patchIterate(statement, 'statement')
  replaceEach(statement, ['close', dispose], (method) => {
    return function (...args) {
      if (isObject(this)) calls.refuse(this, 'the statement cannot be closed', 'close it after that')
      return Reflect.apply(method, this, args)
    }
  })
  // An iterator from before the first greenlet has the same prototype.
  patchSampleIterator()
  willWarn = true

  /** Emits the warnings of Node.js when the program uses `node:sqlite`. */
  function beforeUse(): void {
    if (!willWarn) return
    willWarn = false
    for (let i = 0; i < warnings.length; i++) Reflect.apply(process.emitWarning, process, warnings[i]!)
  }

  function patchSampleIterator(): void {
    try {
      const sample = new DatabaseSync(':memory:')
      const prepared = sample['prepare']!('select 1') as { iterate(): object }
      prepared.iterate()
      sample['close']!()
    } catch {
      // The program may not open databases. Then it has no iterator.
    }
  }

  /** `node:sqlite` does not export the class of iterators. */
  function patchIterator(iterator: object): void {
    if (iteratorIsPatched) return
    iteratorIsPatched = true
    replaceEach(Object.getPrototypeOf(iterator) as Methods, ['next', 'return'], (method, name) => {
      return function (...args) {
        const owner = isObject(this) ? statements.get(this) : undefined
        if (owner === undefined)
          return callHeld(`${name}() of an iterator of node:sqlite`, () => Reflect.apply(method, this, args))
        return useExclusively(owner, name, 'statement', () => Reflect.apply(method, this, args))
      }
    })
  }

  function patchExclusive(owner: Methods, names: readonly string[], kind: string): void {
    replaceEach(owner, names, (method, name) => {
      return function (...args) {
        return useExclusively(this, name, kind, () => Reflect.apply(method, this, args))
      }
    })
  }

  function patchIterate(owner: Methods, kind: string): void {
    replace(owner, 'iterate', (iterate) => {
      return function (...args) {
        const iterator = useExclusively(this, 'iterate', kind, () => Reflect.apply(iterate, this, args))
        if (isObject(iterator) && isObject(this)) {
          patchIterator(iterator)
          statements.set(iterator, this)
        }
        return iterator
      }
    })
  }

  /** Calls a method that runs a statement. SQLite resets the statement first, which would break a run in progress. */
  function useExclusively(object: unknown, name: string, kind: string, method: () => unknown): unknown {
    if (!isObject(object)) return method()
    calls.refuse(object, `the ${kind} cannot be used`, `use another ${kind}, or wait until that has returned`)
    const owner = databases.get(object) ?? unknownDatabase
    return calls.run(object, `${name}()`, () => useDatabase(owner, name, method))
  }

  function useDatabase(object: unknown, name: string, method: () => unknown): unknown {
    beforeUse()
    return isObject(object) ? calls.run(object, `${name}()`, method) : method()
  }

  function refuseEnd(object: object): void {
    const remedy = 'close it after that'
    calls.refuse(object, 'the database cannot be closed', remedy)
    calls.refuse(unknownDatabase, 'no database can be closed', remedy)
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
