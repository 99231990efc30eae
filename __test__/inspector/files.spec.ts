// Files that Node.js writes about a program that works in greenlets: profiles, logs, reports.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { fastOnly, NO_SAMPLES } from '../helpers/lane.ts'
import { printed, runProgram } from '../helpers/program.ts'

const WORK = `
  function hot(n) { let sum = 0; for (let i = 0; i < n; i++) sum += Math.sqrt(i) * i % 7; return sum }
  function inGreenlet() { for (;;) { hot(2e4); for (let i = 0; i < 20; i++) kept.push({ i }); main.switch() } }
  const kept = (globalThis.kept = [])
  const all = Array.from({ length: 10 }, () => new Greenlet(inGreenlet))
  const until = Date.now() + 1500
  while (Date.now() < until) { for (const g of all) g.switch(); for (const g of all.splice(0, 2)) g.kill(); while (all.length < 10) all.push(new Greenlet(inGreenlet)) }
`

/** Runs the program with `flags` in a temporary folder. Returns the one file that it wrote. */
async function written(t: ExecutionContext, flags: (folder: string) => string[], source = WORK): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { code, stderr } = await runProgram(source, { flags: flags(folder) })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  // A thread of the loader writes a file of its own.
  const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
  return texts.find((text) => text.includes('inGreenlet')) ?? ''
}

fastOnly(test, NO_SAMPLES)('--cpu-prof attributes samples in greenlets to their functions', async (t) => {
  const text = await written(t, (folder) => ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200'])
  const { nodes, samples } = JSON.parse(text) as {
    nodes: { id: number; callFrame: { functionName: string }; children?: number[] }[]
    samples: number[]
  }
  const hot = new Set(nodes.filter(({ callFrame }) => callFrame.functionName === 'hot').map(({ id }) => id))
  t.true(samples.filter((id) => hot.has(id)).length > 10)
  const callers = nodes.filter(({ children = [] }) => children.some((id) => hot.has(id)))
  const names = new Set(callers.map(({ callFrame }) => callFrame.functionName))
  t.true(names.has('inGreenlet'))
  // Node 20 does not always know a function that was optimized while it ran. Then it reports the caller, our `runOne` or `entry`.
  t.deepEqual(
    [...names].filter((name) => !['inGreenlet', 'runOne', 'entry'].includes(name)),
    [],
  )
})

test('--heap-prof names the functions that allocate in greenlets', async (t) => {
  const text = await written(t, (folder) => ['--heap-prof', `--heap-prof-dir=${folder}`, '--heap-prof-interval=4096'])
  interface Node {
    callFrame: { functionName: string }
    selfSize: number
    children: Node[]
  }
  const sizeOf = ({ callFrame, selfSize, children }: Node): number =>
    (callFrame.functionName === 'inGreenlet' ? selfSize : 0) + children.reduce((sum, child) => sum + sizeOf(child), 0)
  t.true(sizeOf((JSON.parse(text) as { head: Node }).head) > 10_000)
})

fastOnly(test, NO_SAMPLES)('--prof has ticks in the functions of greenlets', async (t) => {
  const text = await written(t, (folder) => ['--prof', `--logfile=${folder}/v8.log`, '--no-logfile-per-isolate'])
  // When `hot` is inlined, its ticks count for the code of its caller.
  const created = text.matchAll(/^code-creation,[^,]*,\d+,\d+,0x([0-9a-f]+),(\d+),(?:hot|inGreenlet) /gm)
  const ranges = [...created].map(([, at, size]) => [Number.parseInt(at!, 16), Number(size)])
  const ticks = [...text.matchAll(/^tick,0x([0-9a-f]+),/gm)].map(([, at]) => Number.parseInt(at!, 16))
  t.true(ranges.length > 0)
  t.true(ticks.filter((at) => ranges.some(([from, size]) => at >= from! && at < from! + size!)).length > 10)
})

test('a report made in a greenlet has its stack down to the function of the greenlet', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    function reporter() { return process.report.getReport().javascriptStack.stack.map((line) => line.split(' ')[1]) }
    const parked = new Greenlet(() => main.switch())
    parked.switch()
    const stack = new Greenlet(function base() { return reporter() }).switch()
    console.log(stack.slice(0, 3).join(), stack.includes('base'))
    const error = await spawn(() => { sleep(1); return process.report.getReport(new Error('given')).javascriptStack.message })
    console.log(error)`)
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(stdout, /reporter.*true\n.*given\n/)
})

test('a report is written for an uncaught error of a greenlet', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const flags = ['--report-uncaught-exception', `--report-dir=${folder}`]
  const { code } = await runProgram(
    `new Greenlet(() => main.switch()).switch(); new Greenlet(function thrower() { throw new RangeError('not caught') }).switch()`,
    { flags },
  )
  t.is(code, 1)
  const [file] = readdirSync(folder)
  const { javascriptStack } = JSON.parse(readFileSync(join(folder, file!), 'utf8'))
  t.regex(javascriptStack.message, /RangeError: not caught/)
})

for (const trace of ['--trace-uncaught', '--abort-on-uncaught-exception']) {
  test(`${trace}: an error that a greenlet catches does not end the process`, async (t) => {
    const ending = await runProgram(
      `const g = new Greenlet(() => { main.switch(); try { throw new Error('caught') } catch { return 'well' } }); g.switch(); console.log(g.switch())`,
      { flags: [trace] },
    )
    t.deepEqual(ending, printed('well\n'))
  })
}
