// Builds the add-on of the tests and loads copies of it. Node treats each copy as an add-on of its own.

import { copyFileSync, existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { inPlace, ROOT, sharedObject } from './shared-object.ts'

const HEADERS = join(ROOT, 'node_modules/node-api-headers/include')

type Call = <T>(fn: () => T) => T

/** The exports of the add-on; see addon.c. */
export interface Addon {
  noScope: Call
  handleScopes: (fn: () => unknown) => boolean
  escapable: Call
  callbackScope: Call
  makeCallback: Call
  finalized(object: object, fn: () => void): void
  collecting(when: 0 | 1, fn: () => void): void
  elsewhere: Call
  hammer(): void
  hammered(stop: boolean): [requested: number, served: number, slowestMicroseconds: number, waits: 0 | 1]
}

/** Loads the add-on. Another name loads another copy. */
export function loadAddon(name = 'addon'): Addon {
  const built = sharedObject('addon/addon.c', 'addon.node', ['-DNAPI_VERSION=8', `-I${HEADERS}`])
  const file = join(dirname(built), `${name}.node`)
  if (!existsSync(file) || statSync(file).mtimeMs < statSync(built).mtimeMs)
    inPlace(file, (to) => copyFileSync(built, to))
  return createRequire(import.meta.url)(file) as Addon
}

/** Calls JavaScript in some C++ code, and returns a number of which each bit is one thing that was wrong. */
type Caught = (fn: () => unknown) => number

/** The exports of the add-on in C++; see caught.cc. */
export interface CaughtAddon {
  inCatch: Caught
  inTwoCatches: Caught
  rethrown: Caught
  inDestructor: Caught
  after: Caught
  none(): number
}

/** Loads the add-on that calls JavaScript while C++ handles an exception; with a C++ runtime of its own where asked. */
export function loadCaught(runtime: 'shared' | 'own' = 'shared'): CaughtAddon {
  const own = runtime === 'own' ? ['-static-libstdc++', '-Wl,-Bsymbolic'] : []
  const options = ['-std=c++17', '-DNAPI_VERSION=8', `-I${HEADERS}`, ...own]
  return createRequire(import.meta.url)(
    sharedObject('addon/caught.cc', `caught-${runtime}.node`, options),
  ) as CaughtAddon
}

/** The exports of last-first.c: of two calls that are open, the later one must return first. */
export interface LastFirst {
  lastFirst: Call
}

/** Builds the add-on of last-first.c. Returns its file, which a Worker can load too. */
export function lastFirstFile(): string {
  return sharedObject('addon/last-first.c', 'last-first.node', ['-DNAPI_VERSION=8', `-I${HEADERS}`])
}

export function loadLastFirst(): LastFirst {
  return createRequire(import.meta.url)(lastFirstFile()) as LastFirst
}

/** The exports of collections.c: a collection, full or young, before (0) or after (1) each scavenge. */
export interface Collections {
  collecting(when: 0 | 1, young: boolean): void
  allow(count: number): void
  collections(): number
  /** Has V8 begin to mark step by step. In the callback before that, collects young garbage and then calls `fn`. */
  marking(fn: () => void): void
}

export function loadCollections(): Collections {
  const options = ['-DNAPI_VERSION=8', `-I${HEADERS}`]
  return createRequire(import.meta.url)(sharedObject('addon/collections.c', 'collections.node', options)) as Collections
}

/** The exports of isolates.c. */
export interface Isolates {
  /** Makes an isolate, and returns its number. */
  make(): number
  /** Enters an isolate, calls `fn` in Node's own isolate, and runs code in the other one. Returns -1 where that throws. */
  run(isolate: number, code: string, fn?: () => void): number
  /** Ends the process at once. */
  end(code: number): never
}

export function loadIsolates(): Isolates {
  const options = ['-DNAPI_VERSION=8', `-I${HEADERS}`]
  return createRequire(import.meta.url)(sharedObject('addon/isolates.c', 'isolates.node', options)) as Isolates
}
