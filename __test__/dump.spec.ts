// greenlets/dump: what a dump says of each greenlet, how it is printed, and that nothing a program does makes it throw.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { DeadlockData, DumpData, GreenletData, ThreadData } from '../js/dump.ts'
import { runProgram } from './helpers/program.ts'

/** `parked()` lets all greenlets run until they wait; all but those that are called unstarted. `out` prints JSON. */
const HEAD = `
  const { dump, recordOrigins, installDumpSignal } = await import('./js/dump.ts')
  const { Lock, Event, Semaphore, Condition, Queue, Pool, group, joinAll, timeout } = await import('./js/tools/index.ts')
  const { setTimeout: later } = await import('node:timers/promises')
  const until = async (holds) => { while (!holds(dump({ frames: 0 }).toJSON().threads[0])) await later(5) }
  const parked = () => until(({ greenlets }) => greenlets.every(({ state, name }) => state !== 'unstarted' || name === 'unstarted'))
  const never = new Promise(() => {})
  const out = (value) => console.log(JSON.stringify(value))
`

async function outputOf(t: ExecutionContext, source: string, flags: string[] = []): Promise<unknown[]> {
  const { code, stdout, stderr } = await runProgram(`${HEAD}${source}\nprocess.exit()`, { flags })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
}

const threadOf = (data: unknown): ThreadData => (data as DumpData).threads[0]!
const named = (data: unknown, name: string): GreenletData => {
  return threadOf(data).greenlets.find((greenlet) => greenlet.name === name)!
}

test('a dump says what each greenlet waits for, and folds equal stacks', async (t) => {
  const [data] = await outputOf(
    t,
    `
    const lock = new Lock(), queue = new Queue({ max: 1 }), event = new Event(), places = new Semaphore(0), changed = new Condition()
    queue.offer(0)
    const holder = spawn(function holder() { lock.acquire(); sleep(60_000) })
    spawn(function locked() { lock.acquire() })
    spawn(function limited() { lock.acquire({ timeout: 50_000 }) })
    spawn(function getting() { new Queue().get() })
    spawn(function putting() { queue.put(1) })
    spawn(function flagged() { event.wait() })
    spawn(function permitted() { places.acquire() })
    spawn(function notified() { changed.lock.run(() => changed.wait()) })
    spawn(function joining() { holder.join() })
    spawn(function joiningAll() { joinAll([holder, never]) })
    spawn(function grouping() { group((g) => { g.spawn(function child() { wait(never) }) }) })
    spawn(function pooling() { const pool = new Pool(1); pool.spawn(function member() { wait(never) }); pool.join() })
    for (let i = 0; i < 3; i++) spawn(function same() { [1].map(() => wait(never)) })
    spawn(function thenable() { wait({ then() {} }) })
    new Greenlet(function switched() { main.switch() }).switch()
    globalThis.kept = new Greenlet(function unstarted() {})
    await parked()
    out(dump())`,
  )
  const { version, pid, node, greenlets } = data as DumpData
  t.deepEqual([version, typeof pid, typeof node, typeof greenlets], [1, 'number', 'string', 'string'])
  const { total, states, omitted, running, stacks, deadlocks } = threadOf(data)
  t.deepEqual({ total, omitted, running, deadlocks }, { total: 21, omitted: 0, running: 0, deadlocks: [] })
  t.deepEqual(states, { unstarted: 1, running: 1, suspended: 19 })
  const waits = (name: string): string => {
    const { kind, text } = named(data, name).waits!
    return `${kind}: ${text.replaceAll(/ #\d+/g, '').replaceAll(/\d+( of \d+)? ms/g, '$1 ms')}`
  }
  t.is(waits('holder'), 'timer: sleep(60000),  ms left')
  t.is(waits('locked'), "lock: Lock of 'holder' (#1), 2 wait")
  t.is(waits('limited'), "lock: Lock of 'holder' (#1), 2 wait,  of 50000 ms left")
  t.is(waits('getting'), 'queue item: an item of Queue')
  t.is(waits('putting'), 'queue place: a place in Queue')
  t.is(waits('flagged'), 'event: Event')
  t.is(waits('permitted'), 'semaphore: Semaphore')
  t.is(waits('notified'), 'condition: Condition')
  t.is(waits('joining'), "greenlet: the end of 'holder' (#1)")
  t.is(waits('joiningAll'), "greenlets: the end of 'holder' (#1)")
  t.regex(waits('grouping'), /^group: group: the end of 'child' \(#\d+\)$/)
  t.regex(waits('pooling'), /^pool: Pool: the end of 'member' \(#\d+\)$/)
  t.is(waits('same'), 'promise: a promise')
  t.is(waits('thenable'), 'thenable: a thenable (Object)')
  t.is(waits('switched'), 'switch: a switch to it')
  t.is(named(data, 'unstarted').waits, undefined)
  t.deepEqual(named(data, 'locked').waits!.on, [1])
  const { ms, left } = named(data, 'limited').waits!
  t.true(ms === 50_000 && left! > 0 && left! <= 50_000)
  t.is(named(data, 'locked').waits!.object, named(data, 'limited').waits!.object)

  const same = stacks[named(data, 'same').stack!]!
  t.is(same.count, 3)
  t.deepEqual(
    same.frames.map((frame) => frame.function ?? null),
    [null, 'map', 'same'],
  )
  t.is(stacks.filter(({ count }) => count > 1).length, 1)
})

test('greenlets that wait for each other are pointed out, unless a wait has a limit', async (t) => {
  const data = await outputOf(
    t,
    `
    const [a, b, c, d, gone] = [1, 2, 3, 4, 5].map(() => new Lock())
    spawn(function one() { a.acquire(); sleep(1); b.acquire() })
    spawn(function two() { b.acquire(); sleep(1); a.acquire() })
    spawn(function three() { c.acquire(); sleep(1); d.acquire() })
    spawn(function four() { d.acquire(); sleep(1); c.acquire({ timeout: 60_000 }) })
    let joined
    const joiner = spawn(function joiner() { sleep(1); joined.join() })
    joined = spawn(function joined() { joinAll([never, joiner]) })
    spawn(function leaver() { gone.acquire() })
    spawn(function heir() { sleep(1); gone.acquire() })
    const [e, f, g, h] = [1, 2, 3, 4].map(() => new Lock())
    spawn(function inTime() { e.acquire(); sleep(1); timeout(60_000, () => timeout(50_000, () => f.acquire())) })
    spawn(function withoutTime() { f.acquire(); sleep(1); e.acquire() })
    spawn(function timeIsUp() { g.acquire(); try { timeout(2, () => { try { wait(never) } finally { h.acquire() } }) } catch {} })
    spawn(function other() { h.acquire(); sleep(1); g.acquire() })
    await until(({ deadlocks }) => deadlocks.length === 4)
    out(dump({ limit: 5 }))
    out(dump({ format: 'text' }).match(/^(DEADLOCK|ABANDONED).*/gm))`,
  )
  const { deadlocks, greenlets, omitted, total } = threadOf(data[0])
  t.deepEqual(
    deadlocks.map(({ kind, greenlets: ids }) => [kind, ids]),
    [
      ['cycle', [1, 2]],
      ['cycle', [5, 6]],
      // The deadline of 11 has passed, and comes once. That of 9 will come.
      ['cycle', [11, 12]],
      ['abandoned', [8]],
    ],
  )
  // Those of deadlocks are kept, and the rest is counted.
  t.deepEqual([greenlets.map(({ id }) => id), omitted, total], [[0, 1, 2, 5, 6], 7, 12])
  t.is((data[1] as string[]).length, 4)
  t.regex(
    (data[1] as string[])[0]!,
    /^DEADLOCK: 'one' \(#1\) waits for Lock #\d of 'two' \(#2\); 'two' \(#2\) waits for Lock #\d of 'one' \(#1\)$/,
  )
  t.regex(
    (data[1] as string[])[3]!,
    /^ABANDONED LOCK: 'heir' \(#8\) waits for Lock #\d of 'leaver' \(#7\), which has ended$/,
  )
})

test('very many waits without an end are told in a short text', async (t) => {
  const [cycles, abandoned] = await outputOf(
    t,
    `
    const all = []
    for (let i = 0; i < 500; i++) all.push(spawn(() => joinAll([all[(i + 1) % 500], all[i === 0 ? 1 : 0]])))
    await parked()
    out(dump().toJSON().threads[0].deadlocks)
    const lock = new Lock()
    spawn(function leaver() { lock.acquire() })
    for (let i = 0; i < 500; i++) spawn(function heir() { lock.acquire() })
    await parked()
    out(dump().toJSON().threads[0].deadlocks.filter(({ kind }) => kind === 'abandoned'))`,
  )
  const found = cycles as DeadlockData[]
  t.is(found[0]!.greenlets.length, 500)
  t.regex(found[0]!.text, /; and 480 more in the same circle$/)
  t.regex(found.at(-1)!.text, /; more greenlets wait for each other, and are left out$/)
  t.true(JSON.stringify(found).length < 200_000)
  const [one, ...others] = abandoned as [DeadlockData]
  t.deepEqual([one.greenlets.length, others], [500, []])
  t.regex(
    one.text,
    /^('heir' \(#\d+\), ){4}'heir' \(#\d+\) and 495 more wait for Lock #\d+ of 'leaver' .*which has ended$/,
  )
})

test('origins are recorded while that is on', async (t) => {
  const [before, on, many, off] = await outputOf(
    t,
    `
    const make = (name) => spawn(function maker() { spawn.with({ name }, function made() { wait(never) }) })
    make('before'); await parked(); out(dump())
    recordOrigins(); make('on'); await parked(); out(dump())
    for (let i = 0; i < 2000; i++) new Greenlet(() => {}).switch()
    await parked(); globalThis.list = Array.from({ length: 32 }, () => new Greenlet(() => {}, { name: 'unstarted' }))
    out(dump().toJSON().threads[0].greenlets.filter(({ name }) => name === 'unstarted').map(({ spawner, site }) => [spawner?.name, site !== undefined]))
    recordOrigins(false); make('off'); await parked(); out(dump())`,
  )
  t.deepEqual([named(before, 'before').spawner, named(before, 'before').site], [undefined, undefined])
  t.is(named(on, 'on').spawner!.name, 'maker')
  t.regex(named(on, 'on').site!, /:\d+:\d+$/)
  t.true(named(on, 'on').waits!.since! > 0)
  t.true((many as [string][]).every(([name]) => name === 'main'))
  t.is((many as [string, boolean][]).filter(([, site]) => site).length, 2)
  t.is(named(off, 'off').spawner, undefined)
  t.is(named(off, 'off').waits!.since, undefined)
})

test('the line that has made a greenlet is known, however it was made', async (t) => {
  const [sites] = await outputOf(
    t,
    `
    const { bind, blocking } = await import('./js/index.ts')
    const { publishEvents } = await import('./js/dump.ts')
    recordOrigins(); publishEvents()
    const made = (name) => () => { Greenlet.current.name = name; wait(never) }
    const pool = new Pool(9), ways = {
      'new Greenlet': (fn) => new Greenlet(fn).switch(),
      spawn: (fn) => spawn(fn),
      'spawn.with': (fn) => spawn.with({}, fn),
      blocking: (fn) => blocking(fn)(),
      bind: (fn) => bind(fn)(),
      Pool: (fn) => pool.spawn(fn),
      group: (fn) => spawn(() => group((g) => g.spawn(fn))),
    }
    for (const [name, way] of Object.entries(ways)) way(made('by ' + name))
    await parked()
    const all = dump().toJSON().threads[0].greenlets
    out(Object.keys(ways).map((name) => [name, all.find((each) => each.name === 'by ' + name)?.site]))`,
  )
  for (const [name, site] of sites as [string, string | null][]) t.regex(site ?? '', /\[eval\d*\]:\d+:\d+$/, name)
})

test('stacks are told apart by the script, and by the built-in function', async (t) => {
  const [counts] = await outputOf(
    t,
    `
    const { runInThisContext } = await import('node:vm')
    const code = '(method, wait, never) => [1][method](() => wait(never))'
    for (const filename of ['a.js', 'b.js']) {
      const fn = runInThisContext(code, { filename })
      for (const method of ['map', 'map', 'some']) spawn(fn, method, wait, never)
    }
    await parked()
    out(dump().toJSON().threads[0].stacks.map(({ count, frames }) => [count, frames.map((frame) => frame.file + ' ' + frame.function).join()]))`,
  )
  const rows = counts as [number, string][]
  t.deepEqual(rows.map(([count, text]) => [count, /[ab]\.js/.exec(text)![0], /map|some/.exec(text)![0]]).toSorted(), [
    [1, 'a.js', 'some'],
    [1, 'b.js', 'some'],
    [2, 'a.js', 'map'],
    [2, 'b.js', 'map'],
  ])
})

test('nothing a program does makes a dump throw, and its texts are safe to print', async (t) => {
  const [data, text, html, list] = await outputOf(
    t,
    `
    const { proxy, revoke } = Proxy.revocable({ then() {} }, {})
    const evil = { then() {}, get constructor() { throw new Error('read') } }
    const chain = Object.create(new Proxy({}, { getPrototypeOf() { throw new Error('trap') }, get(_, key) { return key === 'then' ? () => {} : undefined } }))
    const named = Object.assign(Promise.resolve().then(() => never), {})
    Object.setPrototypeOf(named, new Proxy(Promise.prototype, { getOwnPropertyDescriptor() { throw new Error('trap') } }))
    spawn(function revoked() { wait(proxy) }); spawn(function getter() { wait(evil) }); spawn(function chained() { wait(chain) })
    spawn(function odd() { wait(named) })
    const name = (text, g = spawn(() => wait(never))) => { g.name = text; return g }
    name('\\x1b[31mred\\x07\\r\\n\\u202e\\u2028 \\ud800'); name('<script>alert(1)</script>"\\'&'); name('m'.repeat(1e6))
    Object.defineProperty(name('kept'), 'name', { get() { throw new Error('name') } })
    const f = (d) => d === 0 ? wait(never) : f(d - 1)
    spawn(function deep() { f(5000) })
    const evaluated = new Function('wait', 'never', 'wait(never) //# sourceURL=\\x1b[2J')
    spawn(function evaluating() { evaluated(wait, never) })
    await parked(); revoke()
    Error.prepareStackTrace = () => { throw new Error('prepared') }; Error.stackTraceLimit = 0
    out(dump()); out(dump({ format: 'text' })); out(dump({ format: 'html' })); out(dump({ format: 'list' }))`,
  )
  const names = threadOf(data).greenlets.map((greenlet) => greenlet.name)
  t.true(names.includes('\\x1b[31mred\\x07\\r\\n\\u{202e}\\u{2028} \\u{d800}'))
  t.is(
    names.find((name) => name.startsWith('mmm')),
    `${'m'.repeat(200)}… (999800 more)`,
  )
  t.true(names.includes('kept'))
  for (const [name, kind] of [
    ['revoked', 'Proxy'],
    ['getter', 'Object'],
    ['chained', 'Object'],
  ]) {
    t.is(named(data, name!).waits!.text, `a thenable (${kind})`)
  }
  const deep = threadOf(data).stacks[named(data, 'deep').stack!]!
  t.deepEqual([deep.frames.length, deep.omitted], [100, 4902])
  t.is(deep.frames.at(-1)!.function, 'deep')
  for (const printed of [text, list] as string[]) {
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    t.notRegex(printed, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2028]/)
  }
  t.true((text as string).includes('... 4902 more frames ...'))
  const page = html as string
  t.false(page.includes('<script>alert'))
  t.true(page.includes('&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;'))
  t.notRegex(page, /src=|href=|https?:/)
})

test('a tree shows each greenlet below its parent', async (t) => {
  const [tree, chain] = await outputOf(
    t,
    `
    const outer = new Greenlet(function outer() {
      globalThis.kept = [new Greenlet(function first() {}), new Greenlet(function second() {})]
      main.switch()
    })
    outer.switch()
    out(dump({ format: 'tree' }))
    let parent = main
    for (let i = 0; i < 3000; i++) parent = new Greenlet(() => {}, { parent })
    out(dump({ format: 'tree' }).split('\\n').length)`,
  )
  t.regex(
    tree as string,
    /\n'main' \(#0\) running\n└─ 'outer' \(#1\) suspended, waits for a switch to it, at outer \(.*\)\n {3}├─ 'first' \(#2\) unstarted\n {3}└─ 'second' \(#3\) unstarted\n$/,
  )
  t.is(chain, 3009)
})

test('one dump has all Workers, also one that hangs and one in native code', async (t) => {
  const [data, inside] = await outputOf(
    t,
    `
    const { Worker } = await import('node:worker_threads')
    const { once } = await import('node:events')
    const { writeFileSync } = await import('node:fs')
    const file = 'target/dump-native-' + process.pid
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const run = async (name, code) => {
      const source = "import { workerData, parentPort } from 'node:worker_threads';" +
        "import(workerData.url).then(async ({ spawn, wait, sleep }) => { const never = new Promise(() => {}); setInterval(() => {}, 1e6);" + code + "})"
      const worker = new Worker(source, { eval: true, name, workerData: { url: new URL('js/index.ts', 'file://' + process.cwd() + '/').href, flag } })
      await once(worker, 'message')
      return worker
    }
    const tell = "parentPort.postMessage('ready');"
    await run('parked', "spawn(function waiter() { wait(never) }); setTimeout(() => {" + tell + "}, 10)")
    await run('hanging', "spawn(function other() { wait(never) }); spawn(function hog() { " + tell + "[1].forEach(function endless() { while (Atomics.load(workerData.flag, 0) === 0); }) })")
    await run('native', "spawn(function native() { " + tell + "process.getBuiltinModule('node:child_process').execSync('until test -e " + file + "; do sleep 0.1; done; rm " + file + "') })")
    await later(500)
    out(await dump({ workers: true, patience: 2000 }))
    const asker = await run('asker', "const { dump } = await import(new URL('dump.ts', workerData.url)); spawn(function mine() { wait(never) });" + tell +
      "parentPort.postMessage(JSON.stringify(await dump({ workers: true, patience: 2000 })))")
    const [text] = await once(asker, 'message')
    writeFileSync(file, '')
    out(JSON.parse(text))`,
  )
  for (const each of [data, inside] as DumpData[]) {
    const [main, parked, hanging, native] = each.threads
    t.deepEqual([main!.threadId, main!.title, main!.greenlets.map(({ name }) => name)], [0, undefined, ['main']])
    t.deepEqual([parked!.title, parked!.greenlets.map(({ name }) => name)], ['parked', ['main', 'waiter']])
    t.is(hanging!.greenlets.find(({ id }) => id === hanging!.running)!.name, 'hog')
    t.deepEqual(
      hanging!.runningStack!.map((frame) => frame.function).filter((name) => name !== 'load'),
      ['endless', 'forEach', 'hog'],
    )
    t.is(hanging!.greenlets.find(({ name }) => name === 'other')!.waits!.kind, 'promise')
    t.regex(native!.problem!, /^it does not answer/)
  }
  t.deepEqual(
    (inside as DumpData).threads[4]!.greenlets.map(({ name }) => name),
    ['main', 'mine'],
  )
})

test('a signal prints a dump', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `${HEAD}
    spawn(function waiter() { wait(never) })
    await parked()
    setInterval(() => {}, 1e6)
    const remove = installDumpSignal('SIGUSR2', { format: 'list', write(text) { console.log(text.includes('waiter')); finish() } })
    let finish
    const done = () => new Promise((resolve) => (finish = resolve))
    let next = done(); process.kill(process.pid, 'SIGUSR2'); await next
    remove()
    console.log(process.listenerCount('SIGUSR2'))
    await import('./js/dump-on-signal.ts')
    process.kill(process.pid, 'SIGUSR2'); await later(300)
    process.exit()`,
  )
  t.deepEqual([code, stdout], [0, 'true\n0\n'])
  t.regex(
    stderr,
    /^greenlets .*\n\nmain thread: 2 greenlets: 1 running, 1 suspended\n[\s\S]*'waiter' \(#1\) suspended, waits for a promise\n {4}at waiter/,
  )
})

test('wrong options are refused', async (t) => {
  const [errors] = await outputOf(
    t,
    `
    const code = (fn) => { try { fn(); return 'none' } catch (error) { return error.name + ' ' + error.code } }
    out([() => dump(1), () => dump({ limit: 0 }), () => dump({ limit: '1' }), () => dump({ frames: -1 }), () => dump({ format: 'xml' }),
      () => dump({ worker: true }), () => dump({ workers: 1 }), () => dump().print('xml'), () => recordOrigins(1),
      () => installDumpSignal('USR2'), () => installDumpSignal('SIGUSR2', { write: 1 }),
      () => installDumpSignal('SIGFOO'), () => installDumpSignal('SIGKILL'), () => installDumpSignal('toString')].map(code))`,
  )
  const [type, range] = ['TypeError ERR_GREENLET_INVALID_ARG', 'RangeError ERR_GREENLET_INVALID_ARG']
  t.deepEqual(errors, [type, range, type, range, type, type, type, type, type, type, type, type, type, type])
})

test('greenlets that are made and that have ended are messages, while that is wanted', async (t) => {
  const found = await outputOf(
    t,
    `
    const { publishEvents } = await import('./js/dump.ts')
    const { subscribe } = await import('node:diagnostics_channel')
    for (const name of ['greenlets:new', 'greenlets:end']) subscribe(name, (message) => out([name, message.name, message.parent, message.threadId]))
    spawn(function before() {})
    await later(5)
    publishEvents()
    recordOrigins()
    await spawn(function job() { new Greenlet(function inner() {}).switch() })
    const killed = new Greenlet(function unstarted() {})
    killed.kill()
    await later(5)
    recordOrigins(false)
    publishEvents(false)
    await spawn(function after() {})
    await later(5)
    try { publishEvents(1) } catch (error) { out(error.code) }`,
  )
  const child = found.find((each) => Array.isArray(each) && each[1] === 'inner') as unknown[]
  t.deepEqual(found, [
    ['greenlets:new', 'job', 0, 0],
    ['greenlets:new', 'inner', child[2], 0],
    ['greenlets:end', 'inner', child[2], 0],
    ['greenlets:end', 'job', 0, 0],
    ['greenlets:new', 'unstarted', 0, 0],
    ['greenlets:end', 'unstarted', 0, 0],
    'ERR_GREENLET_INVALID_ARG',
  ])
})

test('an error that nothing catches leaves a dump in a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-dump-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { code, stderr } = await runProgram(`
    const { writeDumpOnError } = await import('./js/dump.ts')
    writeDumpOnError({ folder: ${JSON.stringify(join(folder, 'missing'))} })
    writeDumpOnError({ folder: ${JSON.stringify(folder)}, format: 'text' })()
    writeDumpOnError({ folder: ${JSON.stringify(folder)} })
    spawn(function worker() { sleep(60_000) })
    setTimeout(() => { throw new Error('the cause') }, 50)`)
  t.is(code, 1)
  t.regex(stderr, /greenlets: the dump could not be written: ENOENT/)
  t.regex(stderr, /Error: the cause/)
  const [, file] = /^greenlets: the dump of all greenlets is in (.*)$/m.exec(stderr)!
  t.deepEqual(readdirSync(folder), [basename(file!)])
  t.is(named(JSON.parse(readFileSync(file!, 'utf8')), 'worker').state, 'suspended')
})

test('a toJSON that the program has put on all arrays or objects is not called, in dumps and for the page', async (t) => {
  const lines = await outputOf(
    t,
    `
    const { inspector } = await import('./js/inspect/index.ts')
    globalThis.worker = new (await import('node:worker_threads')).Worker('setInterval(() => {}, 1e6)', { eval: true })
    const { stringify } = JSON
    const page = inspector({ token: null })
    spawn(function waiter() { wait(never) })
    await parked()
    const events = async () => {
      const reader = (await page.fetch(new Request('http://localhost/events'))).body.getReader()
      const { value } = await reader.read()
      await reader.cancel()
      return new TextDecoder().decode(value).split('data: ')[1]
    }
    const timeless = (json) => json.replace(/"time":"[^"]*"/, '"time":""')
    const print = () => timeless(dump({ format: 'json' }).trim())
    const expected = print()
    const look = async (prototype) => {
      prototype.toJSON = () => undefined
      const workers = await dump({ workers: true, format: 'json' }).then(timeless, ({ code }) => code)
      const found = [print() === expected, JSON.parse(await events()).greenlets.map(({ name }) => name), workers === expected + '\\n' || workers]
      delete prototype.toJSON
      console.log(stringify(found))
    }
    await look(Array.prototype)
    await look(Object.prototype)`,
  )
  const names = ['main', 'waiter']
  t.deepEqual(lines, [
    [true, names, true],
    [true, names, 'ERR_GREENLET_UNSUPPORTED_RUNTIME'],
  ])
})
