/**
 * `node --import greenlets/main app.js`: the program's own top level runs in a greenlet, so it may `wait()`. Main stays
 * the hub.
 *
 * With `--import`, Node.js loads each program as an ES module, also a CommonJS one, and awaits the promise of its
 * evaluation. So the one method to replace is `evaluate`. While the top level waits, that promise is pending, and all that
 * Node.js does for a pending or a rejected one is as for a program with a top-level `await`.
 *
 * A CommonJS text of `--eval` or from stdin is not loaded as a module. Node.js compiles a wrapper for it, by `_compile`, and
 * gives it a function that runs the text. It does not wait for that, but nothing follows.
 *
 * The modules that the program imports are evaluated before it, by the same greenlet. If one of them has a top-level
 * `await`, the greenlet waits for it: V8 would go on in a promise job, which runs on main.
 */

import { realpathSync } from 'node:fs'
import Module from 'node:module'
import { basename, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect, type InspectOptions } from 'node:util'
import { addOwnCode } from './common/own-code.ts'
import { microtask } from './common/turns.ts'
import { dependenciesOf, ERRORED, evaluating, type ModuleWrap, patchEsm } from './core/module-loads.ts'
import { type Method, type Methods, replace } from './core/replace.ts'
import { Greenlet, GreenletError, wait } from './engine.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** The greenlet of the top level, once there is one. */
const program = { greenlet: undefined as Greenlet | undefined, hasReturned: false, loopIsEmpty: false }

/** The exit code of a program of which the top level never returns. */
const UNSETTLED = 13

const prototype = patchEsm()
if (prototype === undefined) {
  throw new GreenletError(
    'ERR_GREENLET_FORBIDDEN',
    "greenlets/main cannot find Node's loader of ES modules; run without --no-experimental-require-module",
  )
}

replace(prototype, 'evaluate', (evaluate) => {
  return function (this: unknown, ...args): unknown {
    const module = this as ModuleWrap
    if (program.greenlet !== undefined || !isProgram(module.url)) return Reflect.apply(evaluate, this, args)
    return run(module, evaluate, args)
  }
})

replace(Module as unknown as Methods, '_load', (load) => {
  return function (this: unknown, ...args) {
    // `isMain`. Without --import, Node.js takes what a CommonJS program returns at once for all of it.
    if (args[2] === true && program.greenlet === undefined) {
      throw new GreenletError(
        'ERR_GREENLET_FORBIDDEN',
        'a CommonJS program cannot run in a greenlet if greenlets/main was loaded by --require; use --import greenlets/main',
      )
    }
    return Reflect.apply(load, this, args)
  }
})

// Only where there is no file: each function that is replaced is a line in the stack traces of the modules that are loaded.
if (hasNoFile()) {
  replace(Module.prototype as unknown as Methods, '_compile', (compile) => {
    return function (this: unknown, ...args): unknown {
      const wrapper = Reflect.apply(compile, this, args)
      const name = /^(\[(?:eval|stdin|worker eval)\])-wrapper$/.exec(String(args[1]))?.[1]
      if (name === undefined || program.greenlet !== undefined) return wrapper
      return (text: () => unknown) => (wrapper as (run: () => unknown) => unknown)(() => runText(name, text))
    }
  })
}

// As for a top-level `await`. Node.js itself finds none.
process.on('beforeExit', () => (program.loopIsEmpty = true))
process.on('exit', (code) => {
  const { greenlet, hasReturned, loopIsEmpty } = program
  if (greenlet === undefined || hasReturned || !loopIsEmpty || (code !== 0 && code !== UNSETTLED)) return
  process.exitCode ??= UNSETTLED
  process.stderr.write(
    `Warning: the top level of the program still waits, and nothing is left that could end the wait:\n${greenlet.gr_stack}\n`,
  )
})

/** Whether the program is a text of `--eval` or, maybe, from stdin. */
function hasNoFile(): boolean {
  const [, name = '-'] = process.argv
  return '_eval' in process || name === '-'
}

/** Whether it is the URL of the program, and not of another module that was preloaded. */
function isProgram(url: string): boolean {
  // `--input-type=module`, with --eval or from stdin.
  if (/^file:.*\/\[eval\d+\]$/.test(url)) return true
  const [, name] = process.argv
  if (name === undefined) return false
  try {
    const own = new URL(url)
    if (own.protocol !== 'file:') return false
    if (url === name || new URL(name, pathToFileURL(`${process.cwd()}/`)).href === url) return true
    const path = fileURLToPath(own)
    const { _findPath: findPath } = Module as unknown as { _findPath: Method }
    const found = findPath(resolve(name), null, true)
    return typeof found === 'string' && (found === path || realpathSync(found) === path)
  } catch {
    return false
  }
}

/** Evaluates the program in a greenlet. The promise is settled when its top level has returned, or has failed. */
function run(module: ModuleWrap, evaluate: Method, args: unknown[]): Promise<unknown> {
  return new Promise((done, fail) => {
    const runProgram = (): void => {
      try {
        done(
          evaluating(module, () => {
            evaluateDependencies(module, evaluate, args)
            return Reflect.apply(evaluate, module, args)
          }),
        )
      } catch (error) {
        fail(error)
      } finally {
        program.hasReturned = true
      }
    }
    program.greenlet = new Greenlet(runProgram, { name: basename(new URL(module.url).pathname), parent: Greenlet.main })
    program.greenlet.switch()
  })
}

/** Runs a CommonJS text that has no file. Returns its value, which may come later, for `--print`. */
function runText(name: string, text: () => unknown): unknown {
  let outcome: { readonly value: unknown } | { readonly error: unknown } | undefined
  let waits = false
  const body = (): void => {
    try {
      outcome = { value: text() }
    } catch (error) {
      outcome = { error }
      if (waits) {
        // An uncaught exception. Thrown from here, the error would be shown with a line of this file.
        microtask(() => {
          throw error
        })
      }
    } finally {
      program.hasReturned = true
    }
  }
  program.greenlet = new Greenlet(body, { name, parent: Greenlet.main })
  program.greenlet.switch()
  if (outcome === undefined) {
    waits = true
    return { [inspect.custom]: printed }
  }
  if ('error' in outcome) throw outcome.error
  return outcome.value

  /** What `--print` shows. From Node 22 on it is called at the end of the process. */
  function printed(_depth: number, options: InspectOptions): string {
    if (outcome !== undefined && 'value' in outcome) {
      return typeof outcome.value === 'string' ? outcome.value : inspect(outcome.value, options)
    }
    if (outcome !== undefined || program.loopIsEmpty || isExiting()) return '<pending>'
    throw new GreenletError(
      'ERR_GREENLET_FORBIDDEN',
      'this Node.js prints the value of --print before the program has waited for it; use --eval and console.log()',
    )
  }
}

function isExiting(): boolean {
  return (process as { _exiting?: boolean })._exiting === true
}

/** In the order in which V8 would do it. */
function evaluateDependencies(module: ModuleWrap, evaluate: Method, args: unknown[]): void {
  const promises: unknown[] = []
  for (const each of dependenciesOf(module)) {
    promises.push(Reflect.apply(evaluate, each, args))
    // V8 evaluates no more modules, and gives the program the same error.
    if (each.getStatus() === ERRORED) return
  }
  for (const promise of promises) wait(promise)
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last)
