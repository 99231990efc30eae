// Loads the package as other loaders do, with the program in it: `loaded.mjs bundle` puts all modules and the program into one script,
// `loaded.mjs scripts` makes a script with a path of each module, as Jest does. Prints the names of the frames that are seen.

import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { runInThisContext } from 'node:vm'

const require = createRequire(import.meta.url)
const ts = require('typescript')
const ROOT = resolve(import.meta.dirname, '../../js')

// The program's functions are called as functions of the package are.
const PROGRAM = `
const { Greenlet, spawn, wait, sleep } = require('./index.ts')
const { main } = Greenlet
const names = (g) => g.gr_stack.map((frame) => frame.functionName)
const seen = {}
const g = new Greenlet(function begin() { (function block() { (function switchTo() { main.switch() })() })() })
g.switch()
seen.switched = names(g)
const waiter = spawn(function runSpawned() { (function wait_() { wait(new Promise(() => {})) })() })
const sleeper = spawn(function entry() { (function startTimer() { sleep(100_000) })() })
const joiner = spawn(function join() { waiter.join() })
const thrower = new Greenlet(function deliver() { g.throw(new Error('x')) })
const catcher = new Greenlet(function kill() { try { main.switch() } catch { seen.main = names(main); main.switch(); seen.late = names(main) } })
catcher.switch()
new Greenlet(function end() { catcher.throw(new Error('y')) }).switch()
seen.unstarted = names(new Greenlet(function never() {}))
setImmediate(() => setImmediate(() => {
  seen.waiting = names(waiter)
  seen.sleeping = names(sleeper)
  seen.joining = names(joiner)
  console.log(JSON.stringify(seen))
  process.exit()
}))
`

const files = readdirSync(ROOT, { recursive: true }).filter(
  (file) => file.endsWith('.ts') && !file.startsWith('adapters'),
)
const sources = new Map(files.map((file) => [`./${file}`, toCommonJS(readFileSync(join(ROOT, file), 'utf8'))]))
sources.set('./program.ts', PROGRAM)

function toCommonJS(text) {
  const { outputText } = ts.transpileModule(text.replace(/^#!.*/, ''), {
    compilerOptions: { module: 'commonjs', target: 'es2022', esModuleInterop: true },
  })
  return outputText.replaceAll('import.meta.url', '__url')
}

const wrap = (text) => `(function (exports, require, module, __url) {${text}\n})`
const load =
  process.argv[2] === 'bundle'
    ? runInThisContext(
        `({${[...sources].map(([name, text]) => `${JSON.stringify(name)}: ${wrap(text)}`).join(',\n')}})`,
        { filename: '/app/bundle.js' },
      )
    : Object.fromEntries(
        [...sources].map(([name, text]) => [
          name,
          runInThisContext(wrap(text), { filename: join('/app/node_modules/greenlets', name) }),
        ]),
      )

const loaded = new Map()
function load_(name) {
  if (loaded.has(name)) return loaded.get(name).exports
  const module = { exports: {} }
  loaded.set(name, module)
  const url = `file://${join(ROOT, name)}`
  load[name](module.exports, (id) => (id.startsWith('.') ? fromFile(name, id) : require(id)), module, url)
  return module.exports
}

function fromFile(from, id) {
  const path = resolve(ROOT, dirname(from), id)
  return id.endsWith('.ts') ? load_(`./${relative(ROOT, path)}`) : require(path)
}

load_('./program.ts')
