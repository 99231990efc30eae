/**
 * `GREENLETS_WARN_SHARED=1`: prints to stderr where two greenlets are inside of one thing that was made for one stack: a
 * WebAssembly instance, because a compiled module has one stack in its memory, or a library that has a call stack of its
 * own. Greenlets that leave it in another order than nested overwrite each other's variables, without an error. Without
 * the variable it costs nothing; with it, every switch reads a stack.
 */

import { writeSync } from 'node:fs'
import { quoted } from '../common/text.ts'
import type { GreenletRecord } from '../core/record.ts'
import { setWatcher } from '../core/switch.ts'
import { librariesOf } from '../stack/libraries.ts'
import { type WasmCall, wasmCallsOf } from '../stack/wasm-calls.ts'
import { isSet } from './variables.ts'

const STDERR = 2

/** A call, which does not keep its instance alive. */
type Inside = Omit<WasmCall, 'instance'> & { readonly instance: WeakRef<object> }

/** The greenlets that are inside of an instance. */
const inside = new Map<GreenletRecord, readonly Inside[]>()
/** The greenlets that are inside of a library. */
const insideLibraries = new Map<GreenletRecord, readonly string[]>()
/** Places that were printed. */
const printed = new Set<string>()

if (isSet('GREENLETS_WARN_SHARED')) setWatcher(watch)

/** Reads what a greenlet that has been left is inside of. It changes only while the greenlet runs. */
function watch(left: GreenletRecord): void {
  watchInstances(left)
  watchLibraries(left)
}

function watchInstances(left: GreenletRecord): void {
  inside.delete(left)
  const calls = wasmCallsOf(left)
  if (calls.length === 0) return
  for (const [other, theirs] of inside) {
    for (const call of calls) {
      if (theirs.some(({ instance }) => instance.deref() === call.instance)) {
        print(
          left,
          other,
          `one WebAssembly instance (${call.module})`,
          ', or an instance for each greenlet',
          call.caller,
        )
      }
    }
  }
  inside.set(
    left,
    calls.map((call) => ({ ...call, instance: new WeakRef(call.instance) })),
  )
}

function watchLibraries(left: GreenletRecord): void {
  insideLibraries.delete(left)
  const { libraries, place } = librariesOf(left)
  if (libraries.length === 0) return
  for (const [other, theirs] of insideLibraries) {
    for (const library of libraries) {
      if (theirs.includes(library)) print(left, other, `${library}, which has one call stack`, '', place)
    }
  }
  insideLibraries.set(left, libraries)
}

function print(left: GreenletRecord, other: GreenletRecord, what: string, remedy: string, place: string): void {
  if (printed.has(place)) return
  printed.add(place)
  const text =
    `greenlets: ${quoted(left.name)} and ${quoted(other.name)} are inside of ${what}. ` +
    'Unless they return in the opposite order, each overwrites the variables of the other; ' +
    `use a lock${remedy} (GREENLETS_WARN_SHARED)\n` +
    `    at ${place}\n`
  try {
    // Synchronously, because the program may crash soon after.
    writeSync(STDERR, text)
  } catch {
    // Stderr is closed.
  }
}
