/**
 * Reads the scopes of a suspended stack by V8's debugger: a session of `node:inspector` in this thread enables it, a function with a
 * `debugger` statement is called above the stack, and the call frames of that pause are the stack's.
 *
 * The values do not go through the protocol. Native keeps the objects of the pause (`callAbove`), which are the scopes, with the variables
 * as properties. After the pause, only previews of them leave this file.
 */

import type { Session } from 'node:inspector'
import { types } from 'node:util'
import { Script } from 'node:vm'
import { quoted } from '../common/text.ts'
import { isUntouched } from '../dump/json.ts'
import { debuggerIsActive, GreenletError, isGlobal, type placeOf } from '../engine.ts'
import { COLLECTING, FORBIDDEN, IN_ISOLATE, IN_WASM, PAUSED, WHY_FORBIDDEN } from '../native/contract.ts'
import { PAUSE_SCRIPT } from '../stack/own-frames.ts'
import { type Bounds, nameOf, Names, preview, type Preview, UNAVAILABLE } from './preview.ts'

/**
 * What a scope belongs to: `local` is the function's own, `block` one of its blocks, `closure` a function around it (also the whole of a
 * CommonJS module), `module` an ES module.
 *
 * @example
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * const kinds = locals(g.gr_frame).scopes.map(({ kind }) => kind)
 * kinds.includes('local') // true
 * ```
 */
export type ScopeKind = 'local' | 'block' | 'catch' | 'with' | 'eval' | 'closure' | 'module' | 'wasm'

/**
 * One scope of a frame.
 *
 * @example
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * const g = new Greenlet(function job() {
 *   const id = 7
 *   Greenlet.main.switch(id)
 * })
 * g.switch()
 * const [scope] = locals(g.gr_frame).scopes
 * scope.kind // 'local'
 * scope.variables.id.value // 7
 * ```
 */
export interface Scope {
  readonly kind: ScopeKind
  /** The name of the function or module, where it has one. */
  readonly name: string | null
  /** By name. One of more than 100 characters is cut, and says how much is left out. The object has no prototype. */
  readonly variables: Readonly<Record<string, Preview>>
  /** How many variables are left out. */
  readonly more: number
}

/** The variables of one frame. */
export interface Scopes {
  readonly this: Preview | null
  readonly scopes: readonly Scope[]
}

export interface ScopeBounds extends Bounds {
  /** Variables of each scope. */
  readonly variables: number
}

type Source = NonNullable<ReturnType<typeof placeOf>>['source']
type Frames = Source['frames']

/** Parts of the protocol. The subtype of an object is its number among the objects that native has kept. */
interface RemoteObject {
  readonly type: string
  readonly subtype?: string
  readonly value?: unknown
  readonly unserializableValue?: string
  readonly description?: string
}
interface CallFrame {
  readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number }
  readonly scopeChain: readonly { readonly type: string; readonly name?: string; readonly object: RemoteObject }[]
  readonly this: RemoteObject
}
/** What V8 told at the pause. */
interface Pause {
  readonly callFrames: readonly CallFrame[]
  readonly objects: Readonly<Record<string, object>>
}

/** V8's types of scopes that are shown. The global ones belong to no frame. */
const KINDS: Readonly<Record<string, ScopeKind>> = {
  local: 'local',
  block: 'block',
  catch: 'catch',
  with: 'with',
  eval: 'eval',
  closure: 'closure',
  module: 'module',
  'wasm-expression-stack': 'wasm',
}

/** As text, because minifiers remove `debugger`. */
const PAUSE_NAME = 'pauseOfGreenlets'
const PAUSE = `(function ${PAUSE_NAME}() { debugger })`

const { getOwnPropertyDescriptor: describe, ownKeys } = Reflect

/**
 * Reads the frames `from` to `to` of a stack; undefined for those that have no script.
 *
 * @throws GreenletError `ERR_GREENLET_NO_LOCALS` or `ERR_GREENLET_FORBIDDEN`
 */
export function readScopes(source: Source, from: number, to: number, bounds: ScopeBounds): (Scopes | undefined)[] {
  const { frames } = source
  const pause = pauseAbove(source)
  // V8's own functions have no call frame. The others are in the same order, below the package's own.
  const scripted = frames.filter((frame) => !frame.isNative)
  const first = firstMatch(pause.callFrames, scripted)
  if (first === undefined) throw refused(source, 'the debugger sees other frames than the snapshot')
  let next = first
  for (let level = 0; level < from; level++) if (!frames[level]!.isNative) next++
  const found: (Scopes | undefined)[] = []
  for (let level = from; level < to; level++) {
    found.push(frames[level]!.isNative ? undefined : scopesOf(pause, pause.callFrames[next++]!, frames[level]!, bounds))
  }
  return found
}

/** Stops in a function above the stack. The debugger is on only meanwhile. */
function pauseAbove(source: Source): Pause {
  if (debuggerIsActive()) throw refused(source, ATTACHED)
  const inspector = process.getBuiltinModule('node:inspector')
  if (inspector?.Session === undefined) throw refused(source, 'this runtime has no inspector')
  // Node.js makes JSON of each message with it, and aborts the process where that is no text.
  if (!isUntouched({})) {
    throw refused(source, "Node's inspector does not work while Object.prototype has a toJSON; remove that")
  }
  const session = new inspector.Session()
  try {
    session.connect()
  } catch (cause) {
    throw refused(source, 'this process may not use the inspector; allow it', cause)
  }
  const objects = Object.create(null) as Record<string, object>
  let callFrames: readonly CallFrame[] | undefined
  let status: number
  try {
    session.on('Debugger.paused', ({ params }) => {
      // A watchdog may stop this thread too, because it is busy.
      const [stopped] = params.callFrames
      if (stopped?.functionName === PAUSE_NAME) callFrames = params.callFrames as unknown as readonly CallFrame[]
    })
    post(session, source, 'Debugger.enable')
    try {
      // V8 keeps its state where it is expected only if this is seen there.
      if (!debuggerIsActive()) throw refused(source, 'this runtime does not tell whether a debugger is attached')
      const stop = new Script(PAUSE, { filename: PAUSE_SCRIPT }).runInThisContext() as () => void
      status = source.callAbove(stop, objects)
    } finally {
      post(session, source, 'Debugger.disable')
    }
  } finally {
    session.disconnect()
  }
  if (status !== 0) throw forbidden(source, status)
  if (callFrames === undefined) {
    throw refused(source, 'V8 did not stop, perhaps because the running stack is nearly full; read them further out')
  }
  return { callFrames: callFrames.slice(1), objects }
}

/** Posts a message; V8 answers at once. */
function post(session: Session, source: Source, method: string): void {
  let failure: Error | null = null
  session.post(method, (error) => (failure = error))
  if (failure !== null) throw refused(source, `the inspector failed at ${method}`, failure)
}

function refused({ name }: Source, why: string, cause?: unknown): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_NO_LOCALS',
    `the variables of greenlet ${quoted(name)} cannot be read: ${why}`,
    cause === undefined ? undefined : { cause },
  )
}

/** @param status what `callAbove` has returned */
function forbidden(source: Source, status: number): GreenletError {
  switch (status) {
    case FORBIDDEN:
    case IN_WASM:
    case PAUSED:
    case COLLECTING:
    case IN_ISOLATE:
      return new GreenletError(
        'ERR_GREENLET_FORBIDDEN',
        `the variables of greenlet ${quoted(source.name)} cannot be read ${WHY_FORBIDDEN[status]}; read them outside of it`,
      )
    case -1:
      return refused(source, 'the inspector of this runtime is not known')
    default:
      return refused(source, 'V8 reads a suspended stack already; read them after that')
  }
}

function scopesOf({ objects }: Pause, callFrame: CallFrame, frame: Frames[number], bounds: ScopeBounds): Scopes {
  const scopes: Scope[] = []
  for (const { type, name, object } of callFrame.scopeChain) {
    const kind = KINDS[type]
    const variables = objects[object.subtype ?? '']
    if (kind !== undefined && variables !== undefined) scopes.push(scopeOf(kind, name, variables, bounds))
  }
  const receiver = objects[callFrame.this.subtype ?? ''] ?? primitive(callFrame.this)
  // A constructor has an object, but before `super()`, or where optimised code has dropped it.
  const isMissing = receiver === undefined && frame.isConstructor
  return { this: isMissing ? null : preview(receiver, bounds), scopes }
}

const ATTACHED =
  'a debugger is attached to this thread, and would be stopped too; read them there, or disconnect it first ' +
  '(a session of the inspector has called Debugger.enable)'

/** The index of the call frame that is the first of `frames`. */
function firstMatch(callFrames: readonly CallFrame[], frames: Frames): number | undefined {
  const spare = callFrames.length - frames.length
  for (let first = 0; first <= spare; first++) {
    let i = 0
    while (i < frames.length && isSame(callFrames[first + i]!, frames[i]!)) i++
    if (i === frames.length) return first
  }
  return undefined
}

function isSame({ location }: CallFrame, frame: Frames[number]): boolean {
  const { scriptId, lineNumber, columnNumber } = frame
  if (scriptId !== null && String(scriptId) !== location.scriptId) return false
  // Wasm has positions in bytes. With a negative line offset, a script has lines without a number.
  if (frame.isWasm || lineNumber === null) return true
  return lineNumber === location.lineNumber + 1 && columnNumber === (location.columnNumber ?? 0) + 1
}

/** A primitive value, as the protocol tells it. */
function primitive({ type, subtype, value, unserializableValue, description }: RemoteObject): unknown {
  if (type === 'undefined') return undefined
  if (subtype === 'null') return null
  if (type === 'bigint') return BigInt(unserializableValue!.slice(0, -1))
  if (unserializableValue !== undefined) return Number(unserializableValue)
  return type === 'symbol' ? Symbol(description!.slice(7, -1)) : value
}

/** `object` is V8's own, with the variables as properties; of a `with`, it is the program's. */
function scopeOf(kind: ScopeKind, name: string | undefined, object: object, bounds: ScopeBounds): Scope {
  const variables = Object.create(null) as Record<string, Preview>
  const names = new Names()
  let more = 0
  if (!types.isProxy(object) && !isGlobal(object)) {
    const keys = ownKeys(object)
    let shown = 0
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      if (typeof key === 'symbol') continue
      if (shown++ >= bounds.variables) more++
      else variables[names.of(key)] = variableOf(object, key, bounds)
    }
  }
  return { kind, name: name === undefined || name === '' ? null : nameOf(name), variables, more }
}

function variableOf(object: object, key: string, bounds: ScopeBounds): Preview {
  let property: PropertyDescriptor | undefined
  try {
    // V8 throws for a variable that has no value.
    property = describe(object, key)
  } catch {
    return UNAVAILABLE
  }
  if (property === undefined) return UNAVAILABLE
  return 'value' in property ? preview(property.value, bounds) : { type: 'accessor', text: '[Getter]' }
}
