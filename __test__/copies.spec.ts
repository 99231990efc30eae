// Several copies of the package in one thread: on disk, in other realms, of other versions. See js/native/copies.ts.

import test from 'ava'
import { runProgram } from './helpers/program.ts'

/** `copy()` imports another copy from disk, with another version or protocol. It is `first` that was imported before. */
const COPY = `
const { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = await import('node:fs')
async function copy({ version, protocol, file = 'index' } = {}) {
  const folder = mkdtempSync(process.cwd() + '/target/copy-')
  process.on('exit', () => rmSync(folder, { recursive: true }))
  for (const part of ['js', 'package.json']) cpSync(part, folder + '/' + part, { recursive: true })
  const edit = (name, from, to) =>
    writeFileSync(folder + name, readFileSync(folder + name, 'utf8').replace(from, to))
  if (version) edit('/js/common/version.ts', /'\\d.*'/, "'" + version + "'")
  if (protocol) edit('/js/native/copies.ts', /PROTOCOL = \\d+/, 'PROTOCOL = ' + protocol)
  return import(folder + '/js/' + file + '.ts')
}
const first = greenlets
const outcome = (fn) => { try { return fn() } catch (error) { return error.code + ' ' + error.message } }
const entries = ({ Greenlet, spawn, wait, sleep, configure, settrace, gettrace }) => [
  () => new Greenlet(() => {}), () => new Greenlet(), () => new (class extends Greenlet {})(() => {}),
  () => Greenlet.current, () => Greenlet.main, () => Greenlet.all(), () => spawn(() => {}), () => wait(1), () => sleep(1),
  () => configure({}), () => settrace(null), () => gettrace(),
]
`

test('two copies on disk have the same classes and the same greenlets', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${COPY}
    const second = await copy()
    console.log(Object.keys(first).filter((key) => first[key] !== second[key]).join())
    console.log(Object.keys(first).join() === Object.keys(second).join())
    const g = new first.Greenlet(() => [second.Greenlet.current === g, second.Greenlet.current.parent.switch(1)])
    console.log(g instanceof second.Greenlet, g.switch(), second.Greenlet.all().includes(g))
    console.log(JSON.stringify(g.switch(2)))
    console.log(await first.spawn(() => second.wait(Promise.resolve(3)) + second.spawn(() => 4).join()))
    console.log(await second.spawn(() => { first.sleep(1); return second.wait(first.spawn(() => 5)) }))
    console.log(outcome(() => second.wait(1)).startsWith('ERR_GREENLET_WAIT_ON_MAIN'))
    try { new second.Greenlet(5) } catch (error) { console.log(error instanceof TypeError) }
    console.log(second.runtimeInfo().supported, second.runtimeInfo().live)
  `)
  t.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: '\ntrue\ntrue 1 true\n[true,2]\n7\n5\ntrue\ntrue\ntrue 0\n', stderr: '' },
  )
})

test('copies of other versions share where their protocol is the same', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${COPY}
    const [second, third] = [await copy({ version: '99.0.0' }), await copy({ version: '0.0.1' })]
    console.log(second.version, third.version, second.Greenlet === first.Greenlet, third.wait === first.wait)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '99.0.0 0.0.1 true true\n', stderr: '' })
})

test('the doors of a copy that cannot be used say so, where they are given a greenlet of the other', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${COPY}
    const g = new first.Greenlet(() => first.Greenlet.main.switch())
    g.switch()
    const { parkedAt, stackText, untilParked, matchers, settle, noGreenletsLeft } = await copy({ protocol: 99, file: 'testing/index' })
    const { existsSync } = await import('node:fs')
    const { dump } = await copy({ protocol: 99, file: 'dump' })
    const { localsOf, inspector, serve, record } = await copy({ protocol: 99, file: 'inspect/index' })
    const { default: Fiber } = await copy({ protocol: 99, file: 'fibers/index' })
    const code = async (fn) => { try { return await fn() } catch (error) { return error.code } }
    const all = [() => parkedAt(g, []), () => stackText(g), () => untilParked(g), () => localsOf(g), () => settle(), () => noGreenletsLeft(),
      () => inspector(), () => serve(), () => record({ file: 'target/never.json' }), () => Fiber(() => {}).run()]
    for (const fn of all) if (await code(fn) !== 'ERR_GREENLET_SECOND_COPY') console.log(String(fn), await code(fn))
    console.log(existsSync('target/never.json'), matchers.toBeParkedAt(g, []).pass, dump().toJSON().threads[0].problem.slice(0, 52))
  `)
  t.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'false false two copies of greenlets cannot run in one thread: ve\n', stderr: '' },
  )
})

for (const [name, owner, other] of [
  ['the second copy', 'first', 'second'],
  ['the first copy', 'second', 'first'],
]) {
  test(`every entry of ${name} says why it cannot be used, where the other one has the thread`, async (t) => {
    const { code, stdout, stderr } = await runProgram(`${COPY}
      const second = await copy({ version: '99.0.0', protocol: 99 })
      console.log(first.Greenlet === second.Greenlet, new ${owner}.Greenlet(() => 'works').switch())
      console.log([...new Set(entries(${other}).map(outcome))].join('\\n'))
      console.log(${other}.runtimeInfo().supported, ${other}.runtimeInfo().reason)
      console.log(${owner}.runtimeInfo().supported, ${owner}.Greenlet.all().length)
      console.log(await ${owner}.spawn(() => { return outcome(() => ${other}.wait(1)) }))
    `)
    t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    const [works, error, info, ...rest] = stdout.trim().split('\n')
    t.is(works, 'false works')
    const places = {
      first: `0\\.1\\.0 from .*/(?:js|dist)/native/load\\.cjs`,
      second: `99\\.0\\.0 from .*/copy-.*/js/native/load\\.cjs`,
    }
    const reason = `two copies of greenlets cannot run in one thread: version ${places[owner as 'first']} was first, version ${places[other as 'first']} is second; make the dependencies agree on one version \\(npm dedupe, or overrides in package\\.json\\)`
    t.regex(error!, new RegExp(`^ERR_GREENLET_SECOND_COPY ${reason}$`))
    t.regex(info!, new RegExp(`^false ${reason}$`))
    t.is(rest[0], 'true 1')
    t.is(rest[1], error)
  })
}

test('a copy that was loaded after the thread was taken is refused at once, and one that fits shares', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${COPY}
    new Greenlet(() => {})
    const [second, third] = [await copy({ protocol: 99 }), await copy()]
    console.log(outcome(() => second.Greenlet.current).slice(0, 24), third.Greenlet === Greenlet)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'ERR_GREENLET_SECOND_COPY true\n', stderr: '' })
})

test('greenlets/express of a copy uses the engine of the thread, or says why not', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${COPY}
    const { default: express } = await import('express')
    const { default: http } = await import('node:http')
    new Greenlet(() => {})
    for (const options of [{}, { version: '99.0.0', protocol: 99 }]) {
      const { greenlets } = await copy({ ...options, file: 'adapters/express' })
      const app = express()
      try {
        app.use(greenlets())
      } catch (error) {
        console.log(error.code)
        continue
      }
      app.get('/', (req, res) => res.json([req.greenlet === Greenlet.current, wait(Promise.resolve(1))]))
      const server = app.listen(0)
      await new Promise((resolve) => server.once('listening', resolve))
      console.log(await (await fetch('http://127.0.0.1:' + server.address().port)).text())
      server.close()
      server.closeAllConnections()
    }
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '[true,1]\nERR_GREENLET_SECOND_COPY\n', stderr: '' })
})

for (const [name, list] of [
  [
    'an older version without a function that this one has',
    '[{ protocol: 1, api: { Greenlet: class {} }, attached: false, refuse() {} }]',
  ],
  ['a value that is not ours', "'a string'"],
  ['an entry that throws', '[{ get attached() { throw 1 } }]'],
] as const) {
  test(`the list of copies has ${name}`, async (t) => {
    const { code, stdout, stderr } = await runProgram("console.log(new Greenlet(() => 'works').switch())", {
      before: `Object.defineProperty(globalThis, Symbol.for('greenlets.copies'), { value: ${list} })`,
    })
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'works\n', stderr: '' })
  })
}

test('a frozen global object is no error', async (t) => {
  const { code, stdout, stderr } = await runProgram(`console.log(new Greenlet(() => 'works').switch())`, {
    before: 'Object.preventExtensions(globalThis)',
  })
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'works\n', stderr: '' })
})

test('importing leaves nothing that a program can list, and learns nothing about V8', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `console.log(Object.keys(globalThis).join() === keys, [...Reflect.ownKeys(globalThis)].filter((key) => String(key).includes('greenlets')).map(String).join())`,
    { before: `const keys = Object.keys(globalThis).join()` },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'true Symbol(greenlets.copies)\n', stderr: '' })
})

/** `load(context)` loads the built package as test runners do: its modules are evaluated in a realm. */
const REALM = `
const vm = await import('node:vm')
const { readFileSync } = await import('node:fs')
const { createRequire } = await import('node:module')
const { dirname, resolve } = await import('node:path')
async function load(context) {
  const modules = new Map()
  const synthetic = (exports, identifier) => {
    const names = [...new Set(['default', ...Object.keys(exports)])]
    return new vm.SyntheticModule(names, function () {
      for (const name of names) this.setExport(name, name === 'default' ? (exports.default ?? exports) : exports[name])
    }, { context, identifier })
  }
  const find = async (specifier, from) => {
    const path = specifier.startsWith('node:') ? specifier : resolve(dirname(from), specifier)
    if (modules.has(path)) return modules.get(path)
    let module
    if (path.startsWith('node:')) {
      module = synthetic(await import(path), path)
    } else if (path.endsWith('.cjs')) {
      const own = { exports: {} }
      const names = ['module', 'exports', 'require', '__dirname']
      const run = vm.compileFunction(readFileSync(path, 'utf8'), names, { filename: path, parsingContext: context })
      run(own, own.exports, createRequire(path), dirname(path))
      module = synthetic({ default: own.exports }, path)
    } else {
      module = new vm.SourceTextModule(readFileSync(path, 'utf8'), {
        context,
        identifier: path,
        initializeImportMeta(meta) { meta.url = 'file://' + path },
      })
    }
    modules.set(path, module)
    return module
  }
  const entry = await find('./dist/index.js', process.cwd() + '/x')
  await entry.link((specifier, { identifier }) => find(specifier, identifier))
  await entry.evaluate()
  return entry.namespace
}
const realm = (more = {}) => vm.createContext({ process, Buffer, setTimeout, clearTimeout, setImmediate, AbortSignal, queueMicrotask, ...more })
`
const FLAGS = ['--experimental-vm-modules', '--expose-gc']

test('realms share the engine, also one that is gone', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `${REALM}
    const park = (engine) => {
      const g = new engine.Greenlet(() => [1].map(() => engine.Greenlet.current.parent.switch('parked')))
      return [g, g.switch()]
    }
    const held = []
    let one = await load(realm())
    const [g] = park(one)
    const two = await load(realm())
    console.log(two.Greenlet === one.Greenlet, two.Greenlet.all().includes(g))
    one = undefined
    for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setImmediate(resolve)) }
    console.log(g.switch('back'), held.push(park(two)), g.dead)
    for (let i = 0; i < 20; i++) {
      const next = await load(realm())
      console.log(next.Greenlet === two.Greenlet, await next.spawn(() => next.wait(Promise.resolve(i))))
      held.push(park(next))
    }
    console.log(two.Greenlet.all().length)
  `,
    { flags: FLAGS, before: `globalThis.notLoaded = true` },
  )
  const lines = Array.from({ length: 20 }, (_, i) => `true ${i}\n`).join('')
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `true true\n[ 'back' ] 1 true\n${lines}22\n`, stderr: '' })
})

test('sleep() uses the timers of the realm that was loaded last; a bare realm has none', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `${REALM}
    const asked = []
    const fake = (fn, ms) => asked.push(ms) && setTimeout(fn, 0)
    const two = await load(realm({ setTimeout: fake }))
    await two.spawn(() => two.sleep(1e6))
    await spawn(() => sleep(2e6))
    const bare = await load(vm.createContext({ process, Buffer, AbortSignal }))
    await bare.spawn(() => bare.sleep(3e6))
    console.log(asked.join())
  `,
    { flags: FLAGS },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '1000000,2000000,3000000\n', stderr: '' })
})

test('modules that are loaded again in one realm share the engine', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `${REALM}
    const context = realm()
    const [one, two] = [await load(context), await load(context)]
    console.log(one === two, one.Greenlet === two.Greenlet, one.Greenlet === Greenlet, new two.Greenlet(() => 1).switch())
  `,
    { flags: FLAGS },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'false true true 1\n', stderr: '' })
})
