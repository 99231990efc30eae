// Random programs that switch inside of callbacks of every kind. Each program runs alone first, where a switch point is a call
// that returns at once. Then 5 to 20 of them are interleaved at random. Both runs must have the same result.
//
// FUZZ_SEED=n repeats a failure, FUZZ_SECONDS=n is the running time. With FUZZ_APART=1 every case runs in its own process with
// the same flags, so that a case that crashes can be reduced, too.

import { AsyncLocalStorage } from 'node:async_hooks'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { check, collect, greenlets, litter, random } from './lib/load.mjs'
import { smaller, textOf, tree } from './lib/forms.mjs'

const { Greenlet, wait } = greenlets
const { main } = Greenlet
const { FUZZ_SEED, FUZZ_SECONDS = 5, FUZZ_APART, FUZZ_CASE } = process.env
/** The switch points of a program that may park; nested loops have many more. */
const MOST_PARKS = 200
const store = new AsyncLocalStorage()
const MOST_TURNS = 10_000
/** The number of cases for one seed. */
const BATCH = 10

/** (import "m" "f" (func (result i32))) (func (export "g") (result i32) call 0 i32.const 42 i32.add) */
const WASM = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 2, 7, 1, 1, 109, 1, 102, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 103, 0, 1,
  10, 9, 1, 7, 0, 16, 0, 65, 42, 106, 11,
])
// --jitless has no WebAssembly.
const wasmModule = typeof WebAssembly === 'object' ? new WebAssembly.Module(WASM) : undefined
function throughWasm(f) {
  if (wasmModule === undefined) return f() + 42
  return new WebAssembly.Instance(wasmModule, { m: { f } }).exports.g()
}

/** Runs `program`. Returns a promise of its result and of the results of all promises that it makes, in any order. */
function start({ program, x }, S, T) {
  const promises = []
  let result
  try {
    result = program(x, S, T, throughWasm, (promise) => promises.push(promise), store)
  } catch (error) {
    result = String(error)
  }
  return settled(result, promises)
}

async function settled(result, promises) {
  const values = []
  for (const promise of promises) values.push(await promise)
  return [result, ...values.toSorted()]
}

function plainly(job) {
  return start(
    job,
    (value) => value,
    (value) => {
      throw value
    },
  )
}

/** Runs all jobs, each in a greenlet, in an order that `pick` decides. */
async function interleaved(jobs, pick) {
  const parked = []
  const results = []

  const resume = ({ greenlet, value, threw }) => (threw ? greenlet.throw(value) : greenlet.switch(value))
  const take = () => parked.splice(pick(parked.length), 1)[0]

  const park = (value, threw) => {
    const way = pick(10)
    if (way === 0) collect(pick(10) === 0)
    if (way === 1) litter(pick(500))
    if (way === 2) return wait(threw ? Promise.reject(value) : Promise.resolve(value))
    if (way === 3 && pick(8) === 0) {
      const later = wait(new Promise((resolve) => setImmediate(resolve, value)))
      if (threw) throw later
      return later
    }
    if (way === 4) check(Greenlet.current.gr_frame === null, 'a running greenlet')
    parked.push({ greenlet: Greenlet.current, value, threw })
    if (pick(2) === 0) return main.switch()
    const other = take()
    check(
      other.greenlet === Greenlet.current || other.greenlet.gr_stack.length > 0 || !other.greenlet.started,
      'a stack',
    )
    return resume(other)
  }

  const live = (job, i) => {
    let parks = 0
    const mayPark = () => Greenlet.current !== main && parks++ < MOST_PARKS
    const S = (value) => (mayPark() ? park(value, false) : value)
    const T = (value) => {
      if (mayPark()) park(value, true)
      throw value
    }
    results[i] = start(job, S, T)
  }
  for (const [i, job] of jobs.entries()) parked.push({ greenlet: new Greenlet(() => live(job, i)) })

  for (let turns = 0; results.filter(Boolean).length < jobs.length;) {
    if (parked.length > 0) resume(take())
    else await new Promise((resolve) => setImmediate(resolve))
    check(parked.length > 0 || turns++ < MOST_TURNS, 'one is parked for ever')
  }
  return Promise.all(results)
}

function compiled(node) {
  // oxlint-disable-next-line no-new-func no-implied-eval -- this is what the test is about
  return new Function('x', 'S', 'T', 'W', 'P', 'L', `return ${textOf(node)}`)
}

async function runCase({ trees, count, order }) {
  const programs = trees.map(compiled)
  const jobs = Array.from({ length: count }, (_, x) => ({ program: programs[x % programs.length], x }))
  const expected = JSON.stringify(await Promise.all(jobs.map(plainly)))
  const results = JSON.stringify(await interleaved(jobs, random(order)))
  check(results === expected, `plainly ${expected}\n interleaved ${results}`)
}

function runApart(it) {
  const env = { ...process.env, FUZZ_CASE: JSON.stringify(it) }
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url)],
    { env },
  )
  check(status === 0, `it ended with ${status ?? signal}\n${stderr}`)
}

/** The smallest failing case that is made of parts of this one, and its failure. fast-check does not look for those. */
async function reduced(it, run) {
  const failure = (candidate) =>
    run(candidate).then(
      () => undefined,
      (error) => error,
    )
  let error = await failure(it)
  search: for (;;) {
    for (const [i, node] of it.trees.entries()) {
      for (const other of smaller(node)) {
        const candidate = { ...it, trees: it.trees.with(i, other) }
        const found = await failure(candidate)
        if (found === undefined) continue
        ;[it, error] = [candidate, found]
        continue search
      }
    }
    return [it, error]
  }
}

const cases = fc.record({
  trees: fc.array(tree, { minLength: 1, maxLength: 6, size: 'max' }),
  count: fc.integer({ min: 5, max: 20 }),
  order: fc.nat(),
})

if (FUZZ_CASE !== undefined) {
  await runCase(JSON.parse(FUZZ_CASE))
} else {
  let seed = Number(FUZZ_SEED ?? Math.trunc(Math.random() * 2 ** 31))
  const run = FUZZ_APART ? async (it) => runApart(it) : runCase
  const property = fc.asyncProperty(cases, run)
  for (const end = performance.now() + FUZZ_SECONDS * 1000; performance.now() < end; seed++) {
    // Printed before the case runs, because it may crash.
    console.log(`FUZZ_SEED=${seed}`)
    const { failed, counterexample } = await fc.check(property, { seed, numRuns: BATCH })
    if (!failed) continue
    const [it, error] = await reduced(counterexample[0], run)
    console.log(`${it.count} greenlets, order ${it.order}:\n${it.trees.map(textOf).join('\n')}`)
    throw error
  }
  console.log('ok')
}
