/**
 * Makes the module loaders of Node.js wait for modules that a greenlet is loading. A greenlet may be suspended at the top
 * level of a module. If another stack loads this module meanwhile, Node.js takes that for a cycle of imports. It returns
 * the exports made so far, or a namespace that is not initialised, or throws an error; and an ES module that saw such a
 * namespace stays broken.
 *
 * So the loads of greenlets are kept in a list, and another stack first waits until the load is over:
 *
 * - A greenlet waits as in `wait()`. If the other greenlet waits for it in turn, this is a real cycle, and the loader
 *   handles it.
 * - `import()` on main waits too: the module is evaluated later.
 * - `require()` on main cannot wait. It throws.
 *
 * Other stacks do not wait for the loads of main. A greenlet does not wait for a load of which it is a part (`isRunBy`).
 *
 * Nothing here iterates an array, a set or a map: a program may have deleted their iterators.
 */

import Module from 'node:module'
import { pathToFileURL } from 'node:url'
import { GreenletError } from '../common/errors.ts'
import { addOwnCode } from '../common/own-code.ts'
import { NativePromise } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { DEAD, type GreenletRecord } from './record.ts'
import { type Method, type Methods, replace } from './replace.ts'
import { main, thread } from './thread.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** A module that a greenlet is loading. */
interface Load {
  readonly owner: GreenletRecord
  /** The serial of the next greenlet when it began. */
  readonly since: number
  /** Its file or URL. */
  readonly name: string
  /** For an evaluation of ES modules: the modules that may be evaluated in it. */
  readonly graph: ReadonlySet<ModuleWrap> | undefined
  /** Resolved when it is over. Made when something waits for it. */
  over: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
}

/** An ES module, as C++ shows it to the loader. */
export interface ModuleWrap {
  readonly url: string
  getStatus(): number
  getError(): unknown
}

/** V8's states of a module. */
const INSTANTIATED = 2
const EVALUATING = 3
export const ERRORED = 5

const loads = new Set<Load>()
/** For each greenlet that waits here, the one that it waits for. */
const waitsFor = new Map<GreenletRecord, GreenletRecord>()
/** The modules that a module imports. */
const imports = new WeakMap<ModuleWrap, readonly ModuleWrap[]>()

/** What {@link patchEsm} has found, once it was called. */
let patched: { readonly prototype: Methods | undefined } | undefined

/** Replaces the methods of the CommonJS loader. Those of the ES loader follow when a greenlet first loads a module. */
export function patchLoaders(): void {
  replace(Module.prototype as unknown as Methods, 'load', (load) => {
    return function (this: unknown, ...args) {
      if (thread.current === main) return Reflect.apply(load, this, args)
      patchEsm()
      return during(String(args[0]), undefined, () => Reflect.apply(load, this, args))
    }
  })
  replace(Module as unknown as Methods, '_load', (load) => {
    return function (this: unknown, ...args) {
      if (hasOthersLoads()) {
        const file = resolve(args)
        if (file !== undefined) waitUntilOver((each) => each.name === file)
      }
      return Reflect.apply(load, this, args)
    }
  })
}

/** The file that `Module._load` is asked for. */
function resolve(args: unknown[]): string | undefined {
  try {
    const { _resolveFilename: resolveFilename } = Module as unknown as { _resolveFilename: Method }
    return Reflect.apply(resolveFilename, Module, [args[0], args[1], args[2]]) as string
  } catch {
    // The loader throws the same error.
    return undefined
  }
}

/** Replaces the methods that evaluate ES modules. Returns their prototype; undefined where it was not found. */
export function patchEsm(): Methods | undefined {
  if (patched !== undefined) return patched.prototype
  const prototype = moduleWrapPrototype()
  patched = { prototype }
  if (prototype === undefined) return undefined
  const originalStatus = prototype['getStatus']!
  replace(prototype, 'link', (link) => {
    return function (this: unknown, ...args) {
      // The modules are the last argument. On Node 20 their specifiers come first.
      const modules = args[args.length - 1]
      if (Array.isArray(modules)) imports.set(this as ModuleWrap, modules as ModuleWrap[])
      return Reflect.apply(link, this, args)
    }
  })
  replace(prototype, 'getStatus', (getStatus) => {
    return function (this: unknown, ...args) {
      const status = Reflect.apply(getStatus, this, args)
      if (status !== EVALUATING || !hasOthersLoads()) return status
      const load = othersLoad((each) => each.graph?.has(this as ModuleWrap) === true)
      if (load === undefined) return status
      // The loader gets the state of a module that is ready to be evaluated. `evaluate` then waits or throws.
      if (thread.current === main) return INSTANTIATED
      waitUntilOver((each) => each.graph?.has(this as ModuleWrap) === true)
      return Reflect.apply(getStatus, this, args)
    }
  })
  replace(prototype, 'evaluateSync', (evaluate) => {
    return function (this: unknown, ...args) {
      const module = this as ModuleWrap
      if (thread.current === main && !hasOthersLoads()) return Reflect.apply(evaluate, this, args)
      const graph = graphOf(module)
      waitUntilOver((each) => isIn(graph, each, originalStatus))
      if (thread.current === main) return Reflect.apply(evaluate, this, args)
      return during(module.url, graph, () => Reflect.apply(evaluate, this, args))
    }
  })
  replace(prototype, 'evaluate', (evaluate) => {
    return function (this: unknown, ...args): unknown {
      if (!hasOthersLoads()) return Reflect.apply(evaluate, this, args)
      const graph = graphOf(this as ModuleWrap)
      const load = othersLoad((each) => isIn(graph, each, originalStatus))
      if (load === undefined) return Reflect.apply(evaluate, this, args)
      const { evaluate: again } = this as { evaluate: Method }
      return overOf(load).promise.then(() => Reflect.apply(again, this, args))
    }
  })
  return prototype
}

/** Calls `call`, in which the running greenlet evaluates an ES module. */
export function evaluating(module: ModuleWrap, call: () => unknown): unknown {
  return during(module.url, graphOf(module), call)
}

/** The modules that a module imports, except those that import it in turn, perhaps by way of others. */
export function dependenciesOf(module: ModuleWrap): ModuleWrap[] {
  return Array.from(imports.get(module) ?? []).filter((each) => !graphOf(each).has(module))
}

/**
 * The prototype of ModuleWrap, which Node.js does not export. The loader leaves one in the Module object of each ES
 * module that was required, here an empty one. Its parent is a file in node_modules, so that Node.js does not warn.
 */
function moduleWrapPrototype(): Methods | undefined {
  const file = '/node_modules/greenlets/empty.mjs'
  const parent = { filename: '/node_modules/greenlets/parent.js', children: [] }
  const module = new Module(file, parent as never) as unknown as Record<string | symbol, unknown>
  try {
    Reflect.apply(module['_compile'] as Method, module, ['', file, 'module'])
  } catch {
    // For example `--no-experimental-require-module`: then no greenlet evaluates ES modules.
  }
  const keys = Object.getOwnPropertySymbols(module)
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    if (key.description !== 'kRequiredModuleSymbol') continue
    const wrap = module[key]
    if (typeof wrap === 'object' && wrap !== null) return Object.getPrototypeOf(wrap) as Methods
  }
  return undefined
}

/** The modules that are reached from this one. */
function graphOf(root: ModuleWrap): Set<ModuleWrap> {
  const graph = new Set([root])
  // A set's `forEach` reaches what is added meanwhile. The arrays may have no prototype.
  graph.forEach((module) => {
    const next = imports.get(module)
    if (next !== undefined) for (let i = 0; i < next.length; i++) graph.add(next[i]!)
  })
  return graph
}

/** Whether a module of `graph` is being loaded by `load`. `getStatus` is the method of Node.js. */
function isIn(graph: ReadonlySet<ModuleWrap>, load: Load, getStatus: Method): boolean {
  const url = load.graph === undefined ? pathToFileURL(load.name).href : undefined
  let found = false
  graph.forEach((module) => {
    if (module.url === url || (load.graph?.has(module) === true && Reflect.apply(getStatus, module, []) === EVALUATING))
      found = true
  })
  return found
}

/** Calls `call`; meanwhile the running greenlet loads a module. */
function during(name: string, graph: ReadonlySet<ModuleWrap> | undefined, call: () => unknown): unknown {
  const load: Load = { owner: thread.current, since: thread.nextSerial, name, graph, over: undefined }
  loads.add(load)
  try {
    return call()
  } finally {
    loads.delete(load)
    load.over?.resolve()
  }
}

/** Whether another stack is loading a module, without cost where there is no load. */
function hasOthersLoads(): boolean {
  return loads.size !== 0 && othersLoad(() => true) !== undefined
}

/** The first load of another stack for which `isWanted` returns true. */
function othersLoad(isWanted: (load: Load) => boolean): Load | undefined {
  const { current } = thread
  let found: Load | undefined
  loads.forEach((load) => {
    const { owner } = load
    // V8 has ended the greenlet without running its `finally` blocks, which remove the load.
    if (owner.state === DEAD) loads.delete(load)
    else if (found === undefined && owner !== current && !isRunBy(current, load) && isWanted(load)) found = load
  })
  return found
}

/** Whether the greenlet runs as a part of the load: it was made during it, as a descendant of the greenlet that loads. */
function isRunBy(greenlet: GreenletRecord, { owner, since }: Load): boolean {
  for (let each: GreenletRecord | null = greenlet; each !== null && each.serial >= since; each = each.parent) {
    if (each.parent === owner) return true
  }
  return false
}

/**
 * Returns when no other stack is in such a load.
 *
 * @throws GreenletError `ERR_GREENLET_IN_USE` on main, which cannot wait
 */
function waitUntilOver(isWanted: (load: Load) => boolean): void {
  for (;;) {
    const load = othersLoad(isWanted)
    if (load === undefined) return
    const { current } = thread
    const { owner, name } = load
    if (current === main) {
      throw new GreenletError(
        'ERR_GREENLET_IN_USE',
        `main cannot load '${name}': greenlet ${quoted(owner.name)} is loading it, and its top level has not returned; ` +
          'load it after that, with import(), or in a greenlet, which wait',
      )
    }
    if (leadsTo(owner, current)) return
    waitsFor.set(current, owner)
    try {
      thread.wait!(overOf(load).promise)
    } finally {
      waitsFor.delete(current)
    }
  }
}

/** Whether `greenlet` waits for `target`, perhaps by way of others. */
function leadsTo(greenlet: GreenletRecord, target: GreenletRecord): boolean {
  for (let each: GreenletRecord | undefined = greenlet; each !== undefined; each = waitsFor.get(each)) {
    if (each === target) return true
  }
  return false
}

function overOf(load: Load): { readonly promise: Promise<void>; readonly resolve: () => void } {
  if (load.over === undefined) {
    let resolve!: () => void
    const promise = new NativePromise<void>((done) => (resolve = done))
    load.over = { promise, resolve }
  }
  return load.over
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, evaluating)
