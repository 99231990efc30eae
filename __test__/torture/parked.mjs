// Many greenlets, parked at depths of 1 to 60 in many kinds of frames with young objects on their stacks, while collections run
// on main and in other greenlets. Every object is checked after each resume.

import { check, collect, greenlets, litter, random, SLOW } from './lib/load.mjs'

const { Greenlet } = greenlets
const pick = random(20261123)
const GREENLETS = SLOW ? 60 : 200
const ROUNDS = SLOW ? 12 : 40

/** Parks under `depth` frames of several kinds, each with values that must survive. */
function descend(depth, tag) {
  const own = { tag, depth, list: [tag, { depth }] }
  const text = `${tag}:${depth}`
  let result
  if (depth === 0) result = Greenlet.main.switch(own)
  else {
    switch (depth % 8) {
      case 0:
        result = [tag].map((t) => descend(depth - 1, t))[0]
        break
      case 1:
        result = {
          get deep() {
            return descend(depth - 1, tag)
          },
        }.deep
        break
      case 2:
        try {
          result = descend(depth - 1, tag)
        } finally {
          check(own.depth === depth, 'an object in a finally block')
        }
        break
      case 3:
        result = new Proxy({}, { get: () => descend(depth - 1, tag) }).anything
        break
      case 4:
        JSON.parse('[1]', (key, value) => (key === '0' ? (result = descend(depth - 1, tag)) : value))
        break
      case 5:
        'x'.replace(/x/, () => ((result = descend(depth - 1, tag)), 'y'))
        break
      case 6: {
        const generator = (function* () {
          yield descend(depth - 1, tag)
        })()
        result = generator.next().value
        break
      }
      default:
        result = Reflect.apply(descend, undefined, [depth - 1, tag])
    }
  }
  check(own.tag === tag && own.list[0] === tag && own.list[1].depth === depth, `objects of ${text}`)
  check(text === `${tag}:${depth}`, 'a string')
  return result
}

let ended = 0
const body = (number) => {
  for (let round = 0; ; round++) {
    const tag = `g${number}r${round}`
    const order = descend(pick(60), tag)
    if (order === 'end') break
    if (order === 'litter') litter(SLOW ? 200 : 2000)
    if (order === 'collect') collect(false)
    if (order === 'throw') {
      try {
        descend(pick(20), tag)
      } catch (error) {
        check(error === descend, 'the error thrown in')
      }
    }
  }
  ended++
  return number
}

const all = Array.from({ length: GREENLETS }, (_, i) => new Greenlet(body, { name: `g${i}` }))
for (const [i, greenlet] of all.entries()) {
  const parked = greenlet.switch(i)
  check(parked.tag === `g${i}r0` && parked.depth === 0, 'what the first switch brought')
}
const ORDERS = ['go', 'go', 'go', 'litter', 'collect', 'throw']
for (let round = 1; round < ROUNDS; round++) {
  for (let n = 0; n < GREENLETS / 2; n++) {
    const greenlet = all[pick(GREENLETS)]
    const order = ORDERS[pick(ORDERS.length)]
    greenlet.switch(order)
    if (order === 'throw') greenlet.throw(descend)
  }
  litter(SLOW ? 500 : 5000)
  collect(round % 8 === 0)
  const { gr_stack: stack } = all[pick(GREENLETS)]
  check(stack.length > 0 && stack.at(-1).functionName === 'body', 'a snapshot of a parked stack')
}
for (const [i, greenlet] of all.entries()) check(greenlet.switch('end') === i, 'a result')
check(ended === GREENLETS && all.every((greenlet) => greenlet.dead), 'all have ended')
console.log('ok')
