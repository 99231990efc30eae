// Stacks that are copied to the heap, and what V8 does to the copies: collections move their objects, code on them is
// deoptimised, they are read, killed and dropped, without being copied back. All greenlets share two slots, so nearly all of
// them are copies.

import { AsyncLocalStorage } from 'node:async_hooks'
import { check, collect, greenlets, litter, random, SLOW } from './lib/load.mjs'

const { configure, Greenlet, GreenletExit, runtimeInfo } = greenlets
const { main } = Greenlet
const pick = random(20261124)
const GREENLETS = SLOW ? 30 : 150
const ROUNDS = SLOW ? 10 : 40
const storage = new AsyncLocalStorage()
/** Whether AsyncLocalStorage lives in V8's slot, which moves with a greenlet. */
const OWN_CONTEXT = process.versions.node >= '24' && !process.execArgv.includes('--no-async-context-frame')

if (process.env.GREENLETS_SLOTS === undefined) configure({ slots: 2 })

/** There is no wasm without a compiler. */
const wasm =
  typeof WebAssembly === 'object' &&
  new WebAssembly.Module(
    // (module (import "m" "f" (func)) (func (export "g") call 0))
    new Uint8Array([
      0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 109, 1, 102, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 103, 0, 1,
      10, 6, 1, 4, 0, 16, 0, 11,
    ]),
  )

/** Hot enough to be optimised. It is deoptimised while it waits, because `shape` changes. */
function add(shape, own) {
  const before = shape.a
  own.seen = descend(own.depth - 1, own.tag)
  return before + shape.a
}

/** Parks under `depth` frames of several kinds, with young objects, doubles, arguments and handlers on them. */
function descend(depth, tag) {
  const own = { tag, depth, sum: depth, half: depth + 0.5 }
  const text = `${tag}/${depth}`
  if (depth === 0) own.brought = main.switch(own)
  else
    switch ((depth + tag) % 7) {
      case 0:
        own.sum = add({ a: depth }, own)
        break
      case 1:
        own.sum = add({ b: 0, a: depth }, own)
        break
      case 2:
        own.sum = [3, 1, 2].sort(
          (x, y) => (x === 1 && own.seen === undefined && (own.seen = descend(depth - 1, tag)), x - y),
        )[0]
        break
      case 3:
        try {
          own.seen = descend(depth - 1, tag)
        } catch (error) {
          check(error instanceof GreenletExit || error === descend, 'what was thrown')
          throw error
        } finally {
          check(own.depth === depth, 'an object in a finally block')
        }
        break
      case 4:
        if (wasm)
          new WebAssembly.Instance(wasm, { m: { f: () => void (own.seen = descend(depth - 1, tag)) } }).exports.g()
        else own.seen = descend(depth - 1, tag)
        break
      case 5:
        JSON.parse(`[${'0,'.repeat(tag % 3 === 0 ? 1500 : 3)}1]`, (key, value) => {
          if (value === 1) own.seen = descend(depth - 1, tag)
          return value
        })
        break
      default:
        own.seen = spread(depth - 1, tag, text, own)
    }
  check(own.tag === tag && own.depth === depth && own.half === depth + 0.5, 'an object on the stack')
  check(text === `${tag}/${depth}`, 'a string on the stack')
  return own
}

function spread(depth, tag) {
  // oxlint-disable-next-line prefer-rest-params -- the test needs an arguments object
  const seen = descend(depth, tag)
  check(arguments.length === 4 && arguments[3].tag === tag, 'the arguments')
  return seen
}

function body(tag) {
  for (let round = 0; ; round++) {
    const depth = (tag * 7 + round * 3) % 25
    const { brought } = bottom(descend(depth, tag))
    if (OWN_CONTEXT) check(storage.getStore() === tag, 'the async context')
    if (brought === 'end') return { tag, round }
    if (brought === 'litter') litter(200)
  }
}

function bottom(own) {
  while (own.seen !== undefined) own = own.seen
  return 'brought' in own ? own : { brought: 'go' }
}

const start = (tag) => {
  const greenlet = storage.run(tag, () => new Greenlet(body, { name: `g${tag}` }))
  greenlet.switch(tag)
  return greenlet
}
const all = Array.from({ length: GREENLETS }, (_, tag) => start(tag))
check(runtimeInfo().spilled > 0, 'a greenlet is spilled')

const ORDERS = ['go', 'go', 'litter']
for (let round = 0; round < ROUNDS; round++) {
  for (let n = 0; n < GREENLETS / 2; n++) {
    const i = pick(GREENLETS)
    const greenlet = all[i]
    if (greenlet === undefined) continue
    const choice = pick(20)
    if (choice < 15) greenlet.switch(ORDERS[pick(ORDERS.length)])
    else if (choice < 17) {
      const names = greenlet.gr_stack.map((frame) => frame.functionName)
      check(names.at(-1) === 'body' && names.includes('descend'), 'a snapshot')
    } else if (choice === 17) {
      greenlet.kill()
      all[i] = start(i)
    } else if (choice === 18) {
      let thrown
      try {
        greenlet.throw(descend)
      } catch (error) {
        thrown = error
      }
      check(thrown === descend, 'an error through a copy')
      all[i] = start(i)
    } else if (!SLOW) all[i] = start(i) // the old greenlet stays as it is: an unreachable copy
  }
  litter(SLOW ? 300 : 3000)
  collect(round % 5 === 0)
}
for (const [i, greenlet] of all.entries()) {
  const { tag } = greenlet.switch('end')
  check(tag === i && greenlet.dead, 'a result')
}
console.log('ok')
