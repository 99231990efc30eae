// The watchdog: what it tells of a thread whose event loop is blocked, and when it is silent.

import { readFileSync } from 'node:fs'
import test from 'ava'
import ts from 'typescript'
import { watch, type WatchOptions } from '../js/watchdog/watchdog.ts'
import { type Ending, printed, runNode, runProgram } from './helpers/program.ts'

/**
 * `asked()` says how often the watchdog has asked for the name of the running greenlet, which it does while it reads the stack. So
 * a function that spins until it was asked needs no time limit. The number is in shared memory, because V8 reads any other only
 * once for a loop that does not change it.
 */
const HEAD = `
  const { watch } = await import('./js/watchdog/watchdog.ts')
  const { Worker, isMainThread } = await import('node:worker_threads')
  const { execSync } = await import('node:child_process')
  const { setTimeout: later } = await import('node:timers/promises')
  // The layout of V8 is learnt now, which takes more than 100 ms on a busy machine.
  new Greenlet(() => {}).switch()
  const count = new Int32Array(new SharedArrayBuffer(4))
  const asked = () => Atomics.load(count, 0)
  const counted = new Set()
  function countQuestions(greenlet, name) {
    counted.add(name)
    Object.defineProperty(greenlet, 'name', { get() { Atomics.add(count, 0, 1); return name } })
  }
  function spin(times) {
    while (asked() < times) Math.sqrt(2)
  }
  const tell = ({ ms, stacks }) => {
    for (const { greenlet, frames } of stacks) {
      // On a busy machine the thread may take long to answer the first question, and main may stand still too.
      if (frames !== null && counted.has(greenlet.name)) console.log(greenlet.name, frames.map((frame) => frame.functionName).filter((name) => name !== 'asked').slice(0, 3).join(' < '))
    }
  }
  /** A greenlet that spins two functions deep. */
  const hog = (times) => {
    const g = spawn(function hog() { [1].forEach(function endless() { spin(times) }) })
    countQuestions(g, 'hog')
    return g
  }
`
const run = (source: string, flags: readonly string[] = []): Promise<Ending> => runProgram(HEAD + source, { flags })

test('the name of a greenlet is one short line in what the watchdog prints', async (t) => {
  const { code, stderr } = await run(`
    watch({ after: 100, report: tell })
    const name = 'a\\u001b[31m\\n' + 'x'.repeat(1e5)
    const g = new Greenlet(() => spin(2), { name: 'replaced' })
    countQuestions(g, name)
    g.switch()
    await later(300)
  `)
  t.is(code, 0)
  t.regex(stderr, /, by greenlet 'a\?\[31m\?x{90,}':\n/)
  t.true(stderr.length < 5000)
})

test('the stack of a greenlet that does not yield is read while it runs, and told in both ways', async (t) => {
  const { code, stdout, stderr } = await run(`
    watch({ after: 100, report: tell })
    await hog(2)
    await later(300)
  `)
  t.is(code, 0)
  t.regex(stdout, /^hog spin < endless < hog\nhog spin < endless < hog\n$/)
  const head =
    /^greenlets watchdog: the event loop of the main thread has been blocked for (\d+) ms, by greenlet 'hog':$/gm
  const times = [...stderr.matchAll(head)].map(([, ms]) => Number(ms))
  t.is(times.length, 2)
  t.true(times[0]! > 100 && times[1]! > times[0]!)
  t.regex(stderr, /\n {4}at spin \(.*:\d+:\d+\)\n {4}at endless \(.*\)\n {4}at hog \(.*\)\n/)
})

test('a stack has plain data: the place of each frame, without frames of the package', async (t) => {
  const ending = await run(`
    const { spinFile } = await import('./__test__/fixtures/spin.mjs')
    const { fileURLToPath } = await import('node:url')
    const all = []
    watch({ after: 100, print: false, report: ({ threadId, stacks }) => all.push(...stacks.map((stack) => ({ ...stack, threadId }))) })
    const g = spawn(function caller() { spinFile(() => asked() > 0) })
    countQuestions(g, 'job')
    await g
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { greenlet, frames } = all.find((stack) => stack.greenlet?.name === 'job')
    const spinning = frames.find((frame) => frame.functionName === 'spinFile')
    const isRight = spinning.fileName === fileURLToPath(new URL('./__test__/fixtures/spin.mjs', 'file://' + process.cwd() + '/'))
    console.log(all[0].threadId, greenlet.serial === g.serial, isRight, spinning.lineNumber, frames.at(-1).functionName)
    console.log(structuredClone(frames).length === frames.length)
  `)
  t.deepEqual(ending, printed('0 true true 4 caller\ntrue\n'))
})

test('main is told as main', async (t) => {
  const { stdout, stderr } = await run(`
    watch({ after: 100, report: tell })
    countQuestions(main, 'main')
    setImmediate(function callback() { spin(1) })
    await later(300)
  `)
  t.regex(stdout, /^main spin < callback/m)
  t.regex(stderr, /blocked for \d+ ms, by main:\n/)
})

test('a thread in native code is told with the time and without a stack', async (t) => {
  const { stdout, stderr, code } = await run(`
    watch({ after: 100, report: ({ ms, stacks }) => ms > 2000 && console.log(ms < 60_000, stacks.length > 0, stacks[0].greenlet, stacks[0].frames) })
    spawn(() => execSync('sleep 3'))
    await later(3500)
  `)
  t.is(code, 0)
  t.is(stdout, 'true true null null\n')
  t.regex(stderr, /blocked for \d+ ms and does not answer, probably because it is in native code/)
})

test('a watched program that has nothing left to do ends', async (t) => {
  t.deepEqual(await run('watch({ print: false }); watch({ print: false, report: tell }); void later(10)'), printed(''))
})

test('a program that ends at once, or is ended while it is watched, ends as without the watchdog', async (t) => {
  t.is((await run('watch(); process.exit(7)')).code, 7)
  const { code, stdout } = await run(`
    watch({ after: 100, report: tell, print: false })
    spawn(function job() { countQuestions(Greenlet.current, 'job'); spin(1); process.exit(8) })
  `)
  // The report comes in the event 'exit'.
  t.deepEqual([code, stdout], [8, 'job spin < job\n'])
})

test('a Worker that watches itself is told, also one that a Worker has made', async (t) => {
  const ending = await run(`
    const source = \`
      const { workerData, Worker, threadId } = process.getBuiltinModule('node:worker_threads')
      const { depth, source } = workerData
      if (depth > 0) new Worker(source, { eval: true, workerData: { depth: depth - 1, source } })
      else import(process.cwd() + '/js/index.ts').then(async ({ spawn, Greenlet }) => {
        const { watch } = await import(process.cwd() + '/js/watchdog/watchdog.ts')
        const count = new Int32Array(new SharedArrayBuffer(4))
        const asked = () => Atomics.load(count, 0)
        watch({ after: 100, print: false, report({ threadId: id, stacks }) {
          for (const { greenlet, frames } of stacks) {
            if (greenlet?.serial > 0) console.log(id === threadId && id > 0, greenlet.name, frames.at(-1).functionName)
          }
          if (asked() > 0) clearInterval(keep)
        } })
        const keep = setInterval(() => {}, 1000)
        // The watching thread needs the main thread to find this one.
        setTimeout(() => {
          const g = spawn(function endless() { while (asked() === 0) Math.sqrt(2) })
          Object.defineProperty(g, 'name', { get() { Atomics.add(count, 0, 1); return 'inside' } })
        }, 1500)
      })
    \`
    for (const depth of [0, 1]) {
      await new Promise((resolve) => new Worker(source, { eval: true, workerData: { depth, source } }).on('exit', resolve))
    }
  `)
  t.deepEqual(ending, printed('true inside endless\ntrue inside endless\n'))
})

test('a Worker that is terminated while it is watched and spins, ends', async (t) => {
  const ending = await run(`
    const worker = new Worker(\`
      const { parentPort } = process.getBuiltinModule('node:worker_threads')
      import(process.cwd() + '/js/watchdog/watchdog.ts').then(({ watch }) => {
        watch({ after: 100, print: false })
        parentPort.postMessage(0)
        for (;;) Math.sqrt(2)
      })\`, { eval: true })
    await new Promise((resolve) => worker.once('message', resolve))
    await later(500)
    console.log(await worker.terminate())
  `)
  t.deepEqual(ending, printed('1\n'))
})

test('a thread that another debugger has stopped is left alone and not reported', async (t) => {
  const ending = await run(`
    const reports = []
    watch({ after: 1500, print: false, report: ({ stacks }) => reports.push(...stacks) })
    // It stops main, tells whether main was still stopped after some time, and lets it go on.
    const other = new Worker(\`
      const { Session } = process.getBuiltinModule('node:inspector')
      const { parentPort } = process.getBuiltinModule('node:worker_threads')
      const session = new Session()
      session.connectToMainThread()
      let resumed = false
      setInterval(() => {}, 1000)
      session.on('Debugger.resumed', () => (resumed = true))
      session.on('Debugger.paused', () => {
        setTimeout(() => {
          parentPort.postMessage(resumed)
          session.post('Debugger.resume', () => session.disconnect())
        }, 4000)
      })
      session.post('Debugger.enable', () => parentPort.postMessage('ready'))
    \`, { eval: true })
    const next = () => new Promise((resolve) => other.once('message', resolve))
    await next()
    const told = next()
    await later(300)
    reports.length = 0
    debugger
    console.log('resumed by other:', await told)
    await later(300)
    console.log(reports.length)
    other.unref()
  `)
  t.is(ending.code, 0)
  t.is(ending.stdout, 'resumed by other: false\n0\n')
})

test('a very deep stack is told', async (t) => {
  const { stdout, stderr } = await run(`
    watch({ after: 100, report: ({ stacks }) => console.log(stacks.some(({ frames }) => frames?.length > 2000)) })
    const down = (n) => { if (n > 0) down(n - 1); else spin(1) }
    countQuestions(spawn(() => down(2000)), 'deep')
    await later(1000)
  `)
  t.regex(stdout, /true\n/)
  t.regex(stderr, /\.\.\. and \d+ more\n/)
})

test('after close() nothing is told, and closing again does nothing', async (t) => {
  const ending = await run(`
    let closed = false
    const report = () => closed && console.log('told')
    for (let i = 0; i < 5; i++) {
      const dog = watch({ print: false, report })
      if (i % 2) await later(20)
      dog.close()
      dog.close()
    }
    const last = watch({ print: false, report })
    await later(300)
    last.close()
    closed = true
    execSync('sleep 0.5')
    await later(100)
  `)
  t.deepEqual(ending, printed(''))
})

test('greenlets switch and wait as usual while their thread is stopped again and again', async (t) => {
  const ending = await run(`
    watch({ after: 100, print: false })
    let turns = 0
    const names = new Set()
    // A long turn of switches, in which the thread is stopped twice at any place.
    const other = new Greenlet(() => { for (;;) { turns++; main.switch() } })
    countQuestions(main, 'main')
    countQuestions(other, 'other')
    const until = Date.now() + 20_000
    while (asked() < 2 && Date.now() < until) other.switch()
    console.log(asked() >= 2, turns > 100)
    await spawn(() => { sleep(1); console.log('waited') })
  `)
  t.deepEqual(ending, printed('true true\nwaited\n'))
})

test('wrong options are errors that say what is right', (t) => {
  const wrong = (options: unknown, message: RegExp, instanceOf: new () => Error = TypeError): void => {
    t.throws(() => watch(options as WatchOptions), { instanceOf, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  wrong({ ms: 5 }, /^watch\(\) has no option 'ms'; it has after, print, report$/)
  wrong(null, /^the options of watch\(\) are an object, not null$/)
  wrong(200, /^the options of watch\(\) are an object, not the number 200$/)
  wrong({ after: '200' }, /^after must be a number, not '200'$/)
  for (const after of [0, 99, -1, Number.NaN, 2 ** 31])
    wrong({ after }, /^after must be 100 to \d+ milliseconds, not/, RangeError)
  wrong({ print: 1 }, /^print must be true or false, not the number 1$/)
  wrong({ report: 'x' }, /^report must be a function, not 'x'$/)
})

test('where the permissions of Node deny the inspector or Workers, an error says so', async (t) => {
  const major = Number.parseInt(process.versions.node)
  // Not with a loader for TypeScript, which needs a Worker too.
  const program = `
    import { watch } from './dist/watchdog/watchdog.js'
    try { watch(); console.log('works') } catch (error) { console.log(error.code, error.message) }`
  const flags = [major >= 24 ? '--permission' : '--experimental-permission', '--allow-fs-read=*', '--allow-addons']
  const allowing = (...more: string[]): Promise<Ending> =>
    runNode([...flags, ...more, '--no-warnings', '--input-type=module', '--eval', program])
  const denied = await allowing('--allow-worker')
  t.is(denied.code, 0)
  t.regex(
    denied.stdout,
    /^ERR_GREENLET_UNSUPPORTED_RUNTIME watch\(\) needs the inspector, which Node's permissions deny/,
  )
  if (major < 26) return
  t.regex((await allowing('--allow-inspector')).stdout, /^ERR_ACCESS_DENIED /)
  t.is((await allowing('--allow-inspector', '--allow-worker')).stdout, 'works\n')
})

test('the program of the watching thread uses no helper of compilers, but for a helper that keeps the names of functions', async (t) => {
  const file = new URL('../js/watchdog/watcher.ts', import.meta.url)
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2015, module: ts.ModuleKind.ESNext, noEmitHelpers: true },
  })
  t.deepEqual(outputText.match(/\b__\w+/g), null)
  t.notRegex(outputText, /\?\?|\?\./)

  // As esbuild does, minified.
  const before = `
    const { toString } = Function.prototype
    Function.prototype.toString = function () {
      const text = Reflect.apply(toString, this, [])
      return this.name === 'runWatcher' ? text.replace('{', '{ i(heard, "heard");') : text
    }`
  const ending = await runProgram(
    `${HEAD}\n watch({ after: 100, print: false, report: tell })\n await hog(1)\n await later(300)`,
    { before },
  )
  t.deepEqual(ending, printed('hog spin < endless < hog\n'))
})

test('an error in the program of the watching thread is a warning', async (t) => {
  const before = `
    const { toString } = Function.prototype
    Function.prototype.toString = function () {
      return this.name === 'runWatcher' ? '() => { coverage().lines[1]++ }' : Reflect.apply(toString, this, [])
    }`
  const program = `${HEAD}
    watch()
    const timer = setInterval(() => {}, 1000)
    process.on('warning', ({ message }) => { console.log(message); clearInterval(timer) })`
  const { code, stdout } = await runProgram(program, { before })
  t.is(code, 0)
  t.regex(stdout, /^watch\(\) has ended: TypeError: Cannot read properties of undefined[^\n]*\n$/)
})
