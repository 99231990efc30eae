/** Finds the WebAssembly instances that a suspended stack is inside of. */

import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setSubject } from '../native/contract.ts'
import { isWasm } from './frame.ts'
import type { CallSite } from './realm.ts'
import { snapshotOf } from './snapshot.ts'

/** A call into an instance that has not returned. */
export interface WasmCall {
  readonly instance: object
  /** The module, as V8 names it: `wasm://wasm/hash`. */
  readonly module: string
  /** The frame that made the call, as in an error's stack. */
  readonly caller: string
}

/** V8 gives the instance as the receiver of a wasm frame. */
type WasmSite = CallSite & { getThis(): unknown }

/** The calls of a suspended greenlet, innermost first; none where it is not suspended. */
export function wasmCallsOf(record: GreenletRecord): WasmCall[] {
  // A snapshot sets up the realm, and knows whether the greenlet is suspended.
  if (snapshotOf(record) === undefined) return []
  setSubject(record.index, record.generation)
  const error = thread.native.capture()
  const sites = [...((error?.stack ?? []) as unknown as WasmSite[])]
  const calls: WasmCall[] = []
  for (const [i, site] of sites.entries()) {
    const caller = sites[i + 1]
    if (!isWasm(site) || (caller !== undefined && isWasm(caller))) continue
    const instance = site.getThis()
    if (typeof instance !== 'object' || instance === null) continue
    calls.push({ instance, module: site.getFileName() ?? 'wasm', caller: String(caller ?? '') })
  }
  return calls
}
