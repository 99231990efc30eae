// The text of stacks: describe(), toError(), and what makes text safe for a terminal.

import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInThisContext } from 'node:vm'
import test from 'ava'
import { describe, Greenlet, sleep, spawn, wait } from '../js/index.ts'
import { stackText } from '../js/testing/index.ts'
import { keysOf, parked } from './helpers/seed.ts'
import { runProgram } from './helpers/program.ts'
import { pending, turn } from './helpers/promises.ts'

const { main } = Greenlet

function headOf(g: Greenlet): string {
  return describe(g).split('\n', 1)[0]!
}

test('describe() tells the name, the number, the state, the call and the parent', async (t) => {
  const g = parked()
  t.is(headOf(g), `greenlet "x" #${g.serial}, suspended in switch(), parent "main" #0`)
  const child = new Greenlet(() => {}, { parent: g })
  t.is(describe(child), `greenlet "greenlet-${child.serial}" #${child.serial}, unstarted, parent "x" #${g.serial}`)
  g.kill()
  t.is(describe(g), `greenlet "x" #${g.serial}, dead, parent "main" #0`)
  t.is(describe(main), 'greenlet "main" #0, running')

  const { promise, resolve } = pending()
  const sleeper = spawn(() => sleep(10_000))
  const calls = [
    spawn(() => void wait(promise)),
    sleeper,
    spawn(() => sleeper.join()),
    spawn(() => {
      try {
        sleep(10_000)
      } finally {
        wait(promise)
      }
    }),
  ] as const
  await turn()
  calls[3].kill()
  t.deepEqual(
    calls.map((each) => /#\d+, (.*), parent/.exec(headOf(each))![1]!.replaceAll(/\d+/g, 'N')),
    [
      'suspended in wait(), waits for a promise',
      'suspended N ms in sleep(N), N ms left',
      "suspended in join(), waits for the end of 'greenlet-N' (#N)",
      'suspended while it ends in wait(), waits for a promise',
    ],
  )
  resolve(undefined)
  sleeper.kill()
  await Promise.allSettled(calls)
})

test('describe() shows the stack with the source line of the innermost function of the program', (t) => {
  const g = new Greenlet(
    function start(): void {
      ;[1].forEach(function each() {
        main.switch() // the line that is shown
      })
    },
    { name: 'shown' },
  )
  g.switch()
  const lines = describe(g).split('\n')
  t.is(lines.length, 5)
  t.regex(lines[1]!, /^ {4}at each \(.*stack-text\.spec\.ts:\d+:\d+\)$/)
  t.is(lines[2], '        > main.switch() // the line that is shown')
  t.is(lines[3], '    at Array.forEach (<anonymous>)')
  t.regex(lines[4]!, /^ {4}at start \(.*stack-text\.spec\.ts:\d+:\d+\)$/)
  t.deepEqual([lines[1], lines[3], lines[4]].join('\n'), String(g.gr_stack))
  g.kill()
})

test('describe() folds the internals of Node.js, and not its modules that a program can import', (t) => {
  const emitter = new EventEmitter().on('event', function listener() {
    main.switch()
  })
  const g = new Greenlet(function start() {
    queue(() => emitter.emit('event'))
  })
  // A function of Node.js that calls back from an internal module.
  const queue = (fn: () => void): void => void new TextDecoderLike(fn).run()
  g.switch()
  const text = describe(g)
  t.regex(text, /at EventEmitter\.emit \(node:events:/)
  t.notRegex(text, /at .*node:internal/)
  t.regex(text, /^ {4}\.\.\. \d+ frames? of node:internal$/m)
  g.kill()
})

/** Calls back through `node:internal/event_target`. */
class TextDecoderLike extends EventTarget {
  readonly #fn: () => void
  constructor(fn: () => void) {
    super()
    this.#fn = fn
  }
  run(): void {
    this.addEventListener('run', () => this.#fn())
    this.dispatchEvent(new Event('run'))
  }
}

test('a deep stack is cut in the middle, and says how many lines are left out', (t) => {
  const g = new Greenlet(function dive(depth: number): unknown {
    return depth === 0 ? main.switch() : dive(depth - 1)
  })
  g.switch(2999)
  const lines = describe(g).split('\n')
  t.is(lines.length, 202)
  t.is(lines[101], `    ... ${3000 + 1 - 200} more lines`)
  t.is(String(g.gr_stack).split('\n').length, 3000)
  g.kill()
})

test('describe() escapes control characters in names, files and source lines, and cuts long ones', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-text-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'a\u001b[31m\nb.js')
  const text = `(function evil(stop) { Object.defineProperty(evil, 'name', { value: '\\u001b]0;x\\u0007\\n    at forged (x.js:1:1)' + 'n'.repeat(1e6) }); return stop() }) /* \u001b[2J \u202e ${'long '.repeat(99)} */`
  writeFileSync(path, text)
  const evil = runInThisContext(text, { filename: path }) as (stop: () => void) => void
  const g = new Greenlet(() => evil(() => main.switch()), { name: `\u001b[31m\r\n\u009b\u2028${'x'.repeat(2 ** 20)}` })
  g.switch()
  const described = describe(g)
  const all = `${described}${String(g.gr_stack)}${String(g.gr_stack[1])}${String(g.gr_stack.detach())}`
  // oxlint-disable-next-line no-control-regex -- these are what the test looks for
  t.notRegex(all, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  t.notRegex(all, /^ {4}at forged/m)
  t.true(all.length < 20_000, String(all.length))
  t.is(described.indexOf('greenlet "\\x1b[31m\\x0d\\n\\x9b\\u2028xxx'), 0)
  g.kill()
})

test('describe() shows no line where there is no such file', (t) => {
  for (const filename of ['/does/not/exist.js', 'evalmachine.<anonymous>', 'https://example.com/a.js', '/']) {
    const run = runInThisContext('(function job(stop) { stop() })', { filename }) as (stop: () => void) => void
    const g = new Greenlet(run)
    g.switch(main.switch.bind(main))
    t.notRegex(describe(g), / > /)
    g.kill()
  }
})

test('describe() takes greenlets only', (t) => {
  for (const value of [undefined, null, 'x', {}, Object.create(Greenlet.prototype), new Proxy(parked(), {})]) {
    t.throws(() => describe(value as never), { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG' })
  }
  for (const g of Greenlet.all()) if (g.state === 'suspended') g.kill()
})

test('describe() tells the header where the running stack is nearly full', async (t) => {
  const { stdout, stderr } = await runProgram(`
    const { describe } = greenlets
    const g = new Greenlet(function job() { main.switch() })
    g.switch()
    let [whole, heads, other] = [0, 0, 0]
    const dive = () => {
      try { dive() } catch {}
      try {
        const text = describe(g)
        if (/at job/.test(text)) whole++; else if (text.startsWith('greenlet "job" #1, suspended')) heads++; else other++
      } catch (error) { if (!(error instanceof RangeError)) throw error }
      if (whole > 10) throw 0
    }
    try { dive() } catch (error) { if (error !== 0) throw error }
    console.log(whole > 10, other)
  `)
  t.is(stderr, '')
  t.is(stdout, 'true 0\n')
})

test('toError() makes an error with the parked stack, which lasts', (t) => {
  const g = parked()
  const { gr_stack } = g
  const text = String(gr_stack)
  const error = gr_stack.toError()
  const named = gr_stack.toError('still there')
  g.kill()
  t.true(error instanceof Error)
  t.is(error.message, "greenlet 'x' is suspended here")
  t.is(error.stack, `Error: greenlet 'x' is suspended here\n${text}`)
  t.is(named.stack, `Error: still there\n${text}`)
  t.deepEqual(Object.keys(error), [])
  t.is(g.gr_stack.toError().stack, 'Error: the greenlet is not suspended')
  t.true(keysOf(g.gr_stack).includes('toError'))
})

// In time that grows with the square of the length, each of these would take minutes.
test('names of many lines, and as long as a source, are read in time', (t) => {
  const fn = (): unknown => main.switch()
  Object.defineProperty(fn, 'name', { value: '\n'.repeat(200_000) })
  const lines = new Greenlet(() => fn())
  const long = runInThisContext('(stop) => stop()', { filename: `data:text/javascript,${'x'.repeat(300_000)}` }) as (
    stop: () => unknown,
  ) => unknown
  const url = new Greenlet(() => long(() => main.switch()))
  for (const g of [lines, url]) {
    g.switch()
    t.true(describe(g).length < 10_000)
    t.true(String(g.gr_stack).length < 10_000)
    t.true(stackText(g).length < 10_000)
    g.kill()
  }
})
