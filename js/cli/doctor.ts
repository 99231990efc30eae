/** `greenlets doctor`: whether greenlets work here, and what a report of a problem needs. */

import { existsSync } from 'node:fs'
import { arch, release, totalmem } from 'node:os'
import { Greenlet, runtimeInfo, version } from '../engine.ts'
import { type LearntFact, learntFacts } from '../native/facts.ts'

interface Finding {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

export interface Diagnosis {
  readonly version: 1
  readonly supported: boolean
  readonly reason?: string
  readonly greenlets: string
  readonly node: string
  readonly v8: string
  readonly system: Readonly<Record<string, string>>
  readonly runtime: Readonly<Record<string, unknown>>
  readonly settings: Readonly<Record<string, string>>
  readonly checks: readonly Finding[]
  /** What greenlets rely on in V8 and Node.js; where they do not work, what was known beforehand, not proven. */
  readonly facts: readonly LearntFact[]
}

/** Learns what there is, and runs a greenlet. */
export function diagnose(): Diagnosis {
  // The first greenlet proves what was learnt: see ARCHITECTURE.md.
  const checks = runtimeInfo().supported
    ? [check('switch', switches), check('stack', readsStack), check('error', passesError)]
    : []
  const { supported, reason, node, v8, ...runtime } = runtimeInfo()
  const settings = Object.entries(process.env).filter(
    ([name]) => name.startsWith('GREENLETS_') || name === 'NODE_OPTIONS',
  )
  return {
    version: 1,
    supported: supported && checks.every(({ ok }) => ok),
    ...(reason === undefined ? {} : { reason }),
    greenlets: version,
    node,
    v8,
    system: {
      platform: `${process.platform}-${arch()}`,
      libc: libc(),
      kernel: release(),
      memory: `${Math.round(totalmem() / 1024 ** 2)} MiB`,
      execPath: process.execPath,
      flags: process.execArgv.join(' '),
      container: existsSync('/.dockerenv') || existsSync('/run/.containerenv') ? 'yes' : 'no',
    },
    runtime,
    settings: Object.fromEntries(settings) as Record<string, string>,
    checks,
    facts: learntFacts(),
  }
}

function libc(): string {
  // The report's network part may ask name servers.
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  const before = report.excludeNetwork
  report.excludeNetwork = true
  try {
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
    return header.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`
  } finally {
    if (before !== undefined) report.excludeNetwork = before
  }
}

function check(name: string, run: () => string): Finding {
  try {
    return { name, ok: true, detail: run() }
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error) }
  }
}

function expect(found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`it gave ${String(found)} and not ${String(wanted)}`)
}

function switches(): string {
  const g = new Greenlet((x: number) => [1, 2].map((y) => Greenlet.main.switch(x * y) as number).length)
  expect(g.switch(21), 21)
  expect(g.switch(), 42)
  expect(g.switch(), 2)
  return 'a greenlet was switched to and from inside of Array.map'
}

function readsStack(): string {
  const g = new Greenlet(function outer() {
    ;[1].forEach(function inner() {
      Greenlet.main.switch()
    })
  })
  g.switch()
  expect(g.gr_stack.map(({ functionName }) => functionName).join(), 'inner,forEach,outer')
  g.kill()
  return 'the stack of a suspended greenlet was read'
}

function passesError(): string {
  const error = new Error('for the parent')
  const g = new Greenlet(() => {
    throw error
  })
  try {
    g.switch()
  } catch (caught) {
    expect(caught, error)
    return 'an error went to the parent'
  }
  throw new Error('no error came')
}

/** For people. */
export function textOf({
  supported,
  reason,
  greenlets,
  node,
  v8,
  system,
  runtime,
  settings,
  checks,
  facts,
}: Diagnosis): string {
  const lines = [
    supported ? 'Greenlets work here.' : `Greenlets do not work here: ${reason ?? 'a check has failed'}`,
    '',
    ...rows({ greenlets, 'Node.js': node, V8: v8, ...system }),
    '',
    ...rows(runtime, RUNTIME),
  ]
  for (const { name, ok, detail } of checks) lines.push(`${ok ? 'ok    ' : 'FAILED'}  ${name}: ${detail}`)
  lines.push(...factLines(facts))
  if (Object.keys(settings).length > 0) lines.push('', 'Environment:', ...rows(settings))
  if (!supported) {
    lines.push('', 'What to do: https://github.com/greenlets/greenlets/blob/main/docs/compatibility.md')
    lines.push('To report it, open an issue with the output of: npx greenlets doctor --json')
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function factLines(facts: readonly LearntFact[]): string[] {
  const lines: string[] = []
  for (const source of ['table', 'learnt'] as const) {
    const group = facts.filter((fact) => fact.source === source)
    if (group.length === 0) continue
    lines.push('', TITLES[source])
    for (const { name, value, proof, proven } of group) {
      lines.push(
        `${name}: ${value}`,
        `    ${proven ? 'proof' : 'NOT PROVEN, because the set-up has failed; proof'}: ${proof}`,
      )
    }
  }
  return lines
}

const TITLES = {
  table: 'Known beforehand of this V8 and Node.js:',
  learnt: 'Found in this process:',
}

/** What the members of `runtimeInfo()` mean. */
const RUNTIME: Readonly<Record<string, string>> = {
  lane: "lane: 'fast' switches V8's own state, 'locker' goes through v8::Locker",
  slots: 'slots for stacks of this thread',
  stackSize: 'bytes of stack for JavaScript',
  spilled: 'stacks that are copied to the heap',
  spilledBytes: 'bytes that they take',
  live: 'greenlets with a stack',
  guard: 'how the ends of stacks are guarded',
  scan: 'which suspended stacks a collection visits',
  scanReason: 'why full collections visit all of them',
  settled: 'how many the next full collection leaves out',
}

function rows(values: Readonly<Record<string, unknown>>, meanings: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries(values)
    .filter(([, value]) => value !== '' && value !== undefined)
    .map(
      ([name, value]) =>
        `${name.padEnd(12)}  ${String(value)}${meanings[name] === undefined ? '' : `  (${meanings[name]})`}`,
    )
}
