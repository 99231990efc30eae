// Random apps for kits.ts: steps and routes in nested groups, of which the handlers wait, await, log, throw and answer.

import { setImmediate, setTimeout } from 'node:timers/promises'
import { wait } from '../../js/index.ts'
import type { App, Asked } from './kits.ts'

type Act = 'log' | 'microtask' | 'immediate' | 'timer' | 'header' | 'throw' | 'throw on /a'

interface Code {
  readonly name: string
  /** Whether it awaits also in the app with greenlets, from which act on. */
  readonly asyncFrom: number
  readonly acts: readonly Act[]
}

type Entry =
  | { readonly kind: 'step'; readonly code: Code }
  | { readonly kind: 'get'; readonly path: string; readonly code: Code }
  | { readonly kind: 'group'; readonly prefix: string; readonly entries: readonly Entry[] }

export const PATHS = ['/a', '/b', '/g/a', '/g/b', '/g/g/a', '/g/nothing']

/** Numbers below `n`, always the same for a seed (mulberry32). */
export function randomNumbers(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % n
  }
}

export function randomApp(random: (n: number) => number): readonly Entry[] {
  let count = 0
  const code = (): Code => {
    const acts: Act[] = []
    const kinds: Act[] = ['log', 'log', 'microtask', 'immediate', 'timer', 'header']
    for (let i = random(4); i > 0; i--) acts.push(kinds[random(kinds.length)]!)
    if (random(12) === 0) acts.push('throw')
    else if (random(6) === 0) acts.push('throw on /a')
    return { name: `${count++}`, asyncFrom: random(2) === 0 ? random(4) : Infinity, acts }
  }
  const entries = (depth: number): Entry[] => {
    const list: Entry[] = []
    for (let i = random(4); i > 0; i--) list.push({ kind: 'step', code: code() })
    list.push({ kind: 'get', path: '/a', code: code() })
    if (random(2) === 0) list.push({ kind: 'step', code: code() })
    if (depth < 2) list.push({ kind: 'group', prefix: '/g', entries: entries(depth + 1) })
    if (random(3) > 0) list.push({ kind: 'get', path: '/b', code: code() })
    return list
  }
  return entries(0)
}

const promiseOf: Partial<Record<Act, () => Promise<unknown>>> = {
  microtask: () => Promise.resolve(),
  immediate: () => setImmediate(),
  timer: () => setTimeout(1),
}

/** @param greenlets whether plain functions wait; otherwise all are async, and await */
export function addRandom(app: App, entries: readonly Entry[], greenlets: boolean, logs: Map<string, string[]>): void {
  const act = (what: Act, { name }: Code, { path, response }: Asked): void => {
    const log = logs.get(path) ?? []
    logs.set(path, log)
    if (what === 'log') log.push(name)
    if (what === 'header') response.setHeader(`x-${name}`, log.length)
    if (what === 'throw' || (what === 'throw on /a' && path.endsWith('/a'))) throw new Error(`of ${name}`)
  }
  const run = async (code: Code, asked: Asked, from: number): Promise<string> => {
    for (const what of code.acts.slice(from)) {
      act(what, code, asked)
      await promiseOf[what]?.()
    }
    return `text of ${code.name}`
  }
  const runInGreenlet = (code: Code, asked: Asked): string | Promise<string> => {
    for (const [i, what] of code.acts.entries()) {
      if (i >= code.asyncFrom) return run(code, asked, i)
      act(what, code, asked)
      wait(promiseOf[what]?.())
    }
    return `text of ${code.name}`
  }
  const call = (code: Code) => (asked: Asked) => (greenlets ? runInGreenlet(code, asked) : run(code, asked, 0))
  for (const entry of entries) {
    if (entry.kind === 'step') {
      const step = call(entry.code)
      app.step((asked) => {
        const result = step(asked)
        return typeof result === 'string' ? undefined : result.then(() => {})
      })
    } else if (entry.kind === 'get') app.get(entry.path, call(entry.code))
    else app.group(entry.prefix, (inner) => addRandom(inner, entry.entries, greenlets, logs))
  }
}
