import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Greenlet, gettrace, settrace } from '../../js/index.ts'
import { record, type Recording } from '../../js/inspect/index.ts'
import { printed, runProgram } from '../helpers/program.ts'

interface TraceEvent {
  readonly name?: string
  readonly ph: string
  readonly ts?: number
  readonly tid: number
  readonly args?: { readonly name?: string }
}

/** Checks what a viewer relies on: times that do not go back, and on each track begins and ends in turn. */
function slicesOf(
  t: { true(value: boolean, message?: string): void },
  events: readonly TraceEvent[],
): Map<number, number> {
  const open = new Map<number, boolean>()
  const slices = new Map<number, number>()
  let last = 0
  for (const { ph, ts, tid } of events) {
    if (ph === 'M') continue
    t.true(ts! >= last, 'times do not go back')
    last = ts!
    if (ph === 'i') continue
    t.true(ph === (open.get(tid) ? 'E' : 'B'), `${ph} on track ${tid}`)
    open.set(tid, ph === 'B')
    if (ph === 'E') slices.set(tid, (slices.get(tid) ?? 0) + 1)
  }
  t.true(
    [...open.values()].every((isOpen) => !isOpen),
    'all slices end',
  )
  return slices
}

/** The recording of a greenlet that runs four times. */
function recordWorker(): { recording: Recording; g: Greenlet; events: TraceEvent[] } {
  const parts: string[] = []
  const recording = record({ write: (text) => parts.push(text) })
  const g = new Greenlet(
    () => {
      for (let i = 0; i < 3; i++) Greenlet.main.switch()
    },
    { name: 'worker' },
  )
  while (!g.dead) g.switch()
  recording.stop()
  return { recording, g, events: JSON.parse(parts.join('')) as TraceEvent[] }
}

test.serial('each greenlet is a track, with a slice for each time that it ran', (t) => {
  const { recording, g, events } = recordWorker()
  recording.stop()
  t.is(gettrace(), null)
  t.is(recording.switches, 8)
  const names = new Map(events.filter(({ name }) => name === 'thread_name').map(({ tid, args }) => [tid, args!.name]))
  t.is(names.get(0), 'main')
  t.is(names.get(g.serial), 'worker')
  const slices = slicesOf(t, events)
  t.is(slices.get(g.serial), 4)
  t.is(slices.get(0), 5)
})

test.serial('an error is a mark, and the trace function of the program is called', (t) => {
  const seen: string[] = []
  const own = (event: string): void => void seen.push(event)
  settrace(own)
  const parts: string[] = []
  const recording = record({ write: (text) => parts.push(text) })
  t.throws(() =>
    new Greenlet(() => {
      throw new Error('x')
    }).switch(),
  )
  recording.stop()
  t.is(gettrace(), own)
  settrace(null)
  t.deepEqual(seen, ['switch', 'throw'])
  t.is((JSON.parse(parts.join('')) as TraceEvent[]).filter(({ ph }) => ph === 'i').length, 1)
})

test.serial('recordings that are stopped in any order leave the trace function of the program', (t) => {
  const own = (): void => {}
  t.teardown(() => settrace(null))
  for (const order of [
    [0, 1, 2],
    [1, 0, 2],
    [2, 0, 1],
    [2, 1, 0],
  ]) {
    for (const before of [null, own]) {
      settrace(before)
      const texts = ['', '', '']
      const recordings = texts.map((_, i) => record({ write: (text) => (texts[i] += text) }))
      new Greenlet(() => {}).switch()
      for (const i of order) {
        recordings[i]!.stop()
        new Greenlet(() => {}).switch()
      }
      t.is(gettrace(), before)
      t.deepEqual(
        order.map((i) => recordings[i]!.switches),
        [2, 4, 6],
      )
      for (const text of texts) slicesOf(t, JSON.parse(text) as TraceEvent[])
    }
  }
})

test.serial('it ends at its limit, and a file is whole JSON', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'recording-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'switches.json')
  const recording = record({ file, limit: 10_000 })
  const g = new Greenlet(
    () => {
      for (;;) Greenlet.main.switch()
    },
    { name: '"</script>\n'.repeat(1000) },
  )
  for (let i = 0; i < 6000; i++) g.switch()
  t.is(recording.switches, 10_000)
  t.is(recording.omitted, 2000)
  recording.stop()
  g.kill()
  const events = JSON.parse(readFileSync(file, 'utf8')) as TraceEvent[]
  t.is(slicesOf(t, events).get(g.serial), 5000)
  t.is(events.find(({ tid, name }) => tid === g.serial && name === 'thread_name')!.args!.name!.length, 200)
})

test('a recording that ends with its process has all switches', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'recording-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'switches.json')
  const ending = await runProgram(`
    const { record } = await import('./js/inspect/index.ts')
    record({ file: ${JSON.stringify(file)} })
    for (let i = 0; i < 3; i++) new Greenlet(() => {}).switch()`)
  t.deepEqual(ending, printed(''))
  const events = JSON.parse(`${readFileSync(file, 'utf8')}]`) as TraceEvent[]
  t.is(events.filter(({ ph }) => ph === 'B').length, 7)
})

test.serial('a recording that cannot be written ends, and only its stop() throws the error', (t) => {
  const failure = new Error('disk full')
  const greenlets: Greenlet[] = []
  const switchTo = (count: number): void => {
    const g = new Greenlet(() => {
      for (;;) Greenlet.main.switch()
    })
    greenlets.push(g)
    for (let i = 0; i < count; i++) g.switch()
  }
  t.teardown(() => {
    settrace(null)
    for (const g of greenlets) g.kill()
  })
  let traced = 0
  settrace(() => void traced++)
  // How many writes succeed, how many switches are made and recorded.
  for (const [good, made, recorded] of [
    [1, 8192, 0],
    [2, 8192, 4096],
    [2, 4098, 4096],
  ] as const) {
    traced = 0
    let writes = 0
    let closing = ''
    const recording = record({
      write(text) {
        if (++writes > good) throw failure
        closing = text
      },
    })
    switchTo(made / 2)
    t.is(traced, made, 'the trace function of the program is called')
    for (let i = 0; i < 2; i++)
      t.is(
        t.throws(() => recording.stop()),
        failure,
      )
    t.deepEqual([recording.switches, recording.omitted], [recorded, made - recorded])
    t.is(writes, good + 1)
    t.false(closing.endsWith(']\n'))
    t.not(gettrace(), null)
  }
  const limited = record({
    limit: 2,
    write(text) {
      if (text.endsWith(']\n')) throw failure
    },
  })
  switchTo(2)
  t.is(
    t.throws(() => limited.stop()),
    failure,
  )
})

test.serial('`write` may switch and stop the recording, and the text is JSON', (t) => {
  let text = ''
  let begun: Recording | null = null
  const recording = record({
    write(part) {
      text += part
      if (begun === null) return
      new Greenlet(() => {}).switch()
      begun.stop()
    },
  })
  begun = recording
  for (let i = 0; i < 4096; i++) new Greenlet(() => {}).switch()
  t.is(recording.switches, 4098)
  slicesOf(t, JSON.parse(text) as TraceEvent[])
})

test('a full disk ends a recording and leaves no file open, and no code of the program is called', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'recording-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'switches.json')
  const program = `
    const { record } = await import('./js/inspect/index.ts')
    const fs = await import('node:fs')
    const count = () => fs.readdirSync('/proc/self/fd').length
    const before = count()
    for (let i = 0; i < 3; i++) try { record({ file: '/dev/full' }) } catch ({ code }) { console.log(code) }
    const { execFileSync } = await import('node:child_process')
    execFileSync('prlimit', ['--pid', process.pid, '--fsize=2000000'])
    class Named extends Greenlet { get name() { throw new Error('a getter') } }
    Object.prototype.toJSON = () => 'changed'
    const recording = record({ file: process.env.FILE })
    for (let i = 0; i < 4096 * 4; i++) new Named(() => {}).switch()
    try { recording.stop() } catch ({ code }) { console.log(code) }
    console.log(count() - before, recording.switches + recording.omitted)
    delete globalThis.process
    record({ write() {} }).stop()`
  const ending = await runProgram(program, { env: { FILE: file } })
  t.deepEqual(ending, printed('ENOSPC\nENOSPC\nENOSPC\nEFBIG\n0 32768\n'))
  const events = JSON.parse(`${readFileSync(file, 'utf8')}]`) as TraceEvent[]
  t.is(events.filter(({ ph }) => ph === 'B').length % 4096, 1, 'no part of a write is left')
})

test('wrong options are refused', (t) => {
  const invalid = { code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => record({}), { ...invalid, message: 'record() needs one of its options file and write' })
  t.throws(() => record({ file: 'x', write() {} }), invalid)
  t.throws(() => record({ file: 1 as never }), invalid)
  t.throws(() => record({ write() {}, limit: 0 }), { ...invalid, instanceOf: RangeError })
  t.throws(() => record({ file: '/nowhere/x' }), { code: 'ENOENT' })
  t.is(gettrace(), null)
})

test.serial("Chrome's own parser of traces reads it", async (t) => {
  // It is made for a browser.
  Object.assign(globalThis, { localStorage: { getItem() {}, setItem() {} } })
  const { Processor } = (await import('@paulirish/trace_engine')) as unknown as TraceEngine
  const { g, events } = recordWorker()
  const processor = Processor.TraceProcessor.createWithAllHandlers()
  await processor.parse(events, {})
  const threads = processor.data!.Renderer.processes.get(process.pid)!.threads
  t.deepEqual(
    [...threads.keys()].toSorted((a, b) => a - b),
    [0, g.serial],
  )
  t.is(threads.get(g.serial)!.entries.length, 4)
  t.is(threads.get(g.serial)!.name, 'worker')
})

/** The parts of it that are used here. */
interface TraceEngine {
  readonly Processor: {
    readonly TraceProcessor: {
      createWithAllHandlers(): {
        parse(events: readonly object[], options: object): Promise<void>
        readonly data?: {
          readonly Renderer: {
            readonly processes: ReadonlyMap<
              number,
              {
                readonly threads: ReadonlyMap<
                  number,
                  { readonly name: string | null; readonly entries: readonly unknown[] }
                >
              }
            >
          }
        }
      }
    }
  }
}
