/**
 * `GREENLETS_WARN_SHARED=1`: prints to stderr where two greenlets are inside of one WebAssembly instance. A
 * compiled module has one stack in its memory; greenlets that leave it in another order than nested overwrite each
 * other's variables, without an error. Without the variable it costs nothing; with it, every switch reads a stack.
 */

import { writeSync } from 'node:fs'
import type { GreenletRecord } from '../core/record.ts'
import { setWatcher } from '../core/switch.ts'
import { type WasmCall, wasmCallsOf } from '../stack/wasm-calls.ts'
import { isSet } from './variables.ts'

const STDERR = 2

/** A call, which does not keep its instance alive. */
type Inside = Omit<WasmCall, 'instance'> & { readonly instance: WeakRef<object> }

/** The greenlets that are inside of an instance. */
const inside = new Map<GreenletRecord, readonly Inside[]>()
/** Places that were printed. */
const printed = new Set<string>()

if (isSet('GREENLETS_WARN_SHARED')) setWatcher(watch)

/** Reads the instances of a greenlet that has been left. They change only while it runs. */
function watch(left: GreenletRecord): void {
  inside.delete(left)
  const calls = wasmCallsOf(left)
  if (calls.length === 0) return
  for (const [other, theirs] of inside) {
    for (const call of calls) {
      if (theirs.some(({ instance }) => instance.deref() === call.instance)) print(left, other, call)
    }
  }
  inside.set(
    left,
    calls.map((call) => ({ ...call, instance: new WeakRef(call.instance) })),
  )
}

function print(left: GreenletRecord, other: GreenletRecord, { caller, module }: WasmCall): void {
  if (printed.has(caller)) return
  printed.add(caller)
  const text =
    `greenlets: '${left.name}' and '${other.name}' are inside of one WebAssembly instance (${module}). ` +
    'Unless they return in the opposite order, each overwrites the variables of the other; ' +
    'use a lock, or an instance for each greenlet (GREENLETS_WARN_SHARED)\n' +
    `    at ${caller}\n`
  try {
    // Synchronously, because the program may crash soon after.
    writeSync(STDERR, text)
  } catch {
    // Stderr is closed.
  }
}
