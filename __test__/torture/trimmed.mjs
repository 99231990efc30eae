// Arrays that lose their first elements while suspended frames hold them. V8 trims such an array in place (left-trimming), and
// updates pointers to its old start on the running stack only. A flag that greenlets sets prevents that.

import { check, collect, greenlets, litter, SLOW } from './lib/load.mjs'

const { Greenlet } = greenlets
const { main } = Greenlet
const LENGTH = 400
const ROUNDS = SLOW ? 2 : 6

/** An array of each kind of elements that V8 has: integers, doubles, objects; with and without holes. */
const KINDS = {
  integers: (i) => i,
  doubles: (i) => i + 0.5,
  objects: (i) => ({ i }),
  strings: (i) => `piece ${i}`,
}
const make = (kind) => Array.from({ length: LENGTH }, (_, i) => KINDS[kind](i))

/** Suspends in a built-in function that iterates over `array` and holds its elements. */
const HOLDERS = {
  concat: (array) => array.concat(switching()),
  concatTwice: (array) => [1].concat(array, switching(), array),
  map: (array) => array.map((x, i) => (i === 3 ? (main.switch(), x) : x)),
  filter: (array) => array.filter((x, i) => (i === 3 && main.switch(), true)),
  forEach: (array) => array.forEach((x, i) => i === 3 && main.switch()),
  reduce: (array) => array.reduce((sum, x, i) => (i === 3 && main.switch(), sum + 1), 0),
  find: (array) => array.find((x, i) => i === 3 && main.switch()),
  sort: (array) => {
    let first = true
    return array.sort(() => (first && ((first = false), main.switch()), 0))
  },
  from: (array) => Array.from(array, (x, i) => (i === 3 && main.switch(), x)),
  flatMap: (array) => array.flatMap((x, i) => (i === 3 && main.switch(), [x])),
  iterate: (array) => {
    let i = 0
    for (const x of array) if (i++ === 3) main.switch(x)
  },
  spread: (array) => Math.max(...array.slice(0, 3), ...spreads(), array.length),
  splice: (array) => array.splice(2, 2, ...spreads()),
  slice: (array) =>
    array.slice({
      valueOf() {
        main.switch()
        return 1
      },
    }),
  fill: (array) =>
    array.fill(array[0], {
      valueOf() {
        main.switch()
        return LENGTH - 1
      },
    }),
  indexOf: (array) =>
    array.indexOf(array[2], {
      valueOf() {
        main.switch()
        return 1
      },
    }),
  join: (array) => [array[0], { toString: () => `${main.switch()}` }, ...array].join().length,
  apply: (array) => Reflect.apply((...all) => (main.switch(), all.length), undefined, array),
  stringify: (array) => JSON.stringify({ first: { toJSON: () => main.switch() }, array }).length,
  stringifyIn: (array) => JSON.stringify(array, (_, x) => (x === array[3] && main.switch(), x)).length,
  arguments(array) {
    return (function () {
      main.switch()
      // oxlint-disable-next-line prefer-rest-params -- the test needs an arguments object
      return arguments.length
    })(...array)
  },
  local: (array) => {
    const [first, last] = [array[0], array.at(-1)]
    main.switch()
    check(first !== last, 'local variables')
  },
}

/** An array for `concat()`, which reads its only element. */
const switching = () => ({
  length: 1,
  [Symbol.isConcatSpreadable]: true,
  get 0() {
    return main.switch()
  },
})

function* spreads() {
  yield main.switch()
}

/** Operations on the arrays while the greenlets are suspended. */
const CUTS = [
  (array) => array.shift(),
  (array) => {
    for (let i = 0; i < 50; i++) array.shift()
  },
  (array) => array.splice(0, 17),
  (array) => {
    for (let i = 0; i < 40; i++) array.push(array.shift())
  },
]

for (let round = 0; round < ROUNDS; round++) {
  const kinds = Object.keys(KINDS)
  const held = Object.entries(HOLDERS).flatMap(([name, hold], i) => {
    const array = make(kinds[(round + i) % kinds.length])
    const greenlet = new Greenlet(hold, { name })
    greenlet.switch(array)
    check(!greenlet.dead, `${name} is suspended`)
    return [{ array, greenlet }]
  })
  for (let storm = 0; storm < 4; storm++) {
    for (const [i, { array }] of held.entries()) if (array.length > 120) CUTS[(i + storm + round) % CUTS.length](array)
    litter(SLOW ? 100 : 500)
    collect(storm % 2 === 1)
  }
  for (const { array } of held) check(array.length > 0 && array.every((x) => x !== null), 'what is left of an array')
  // Resumes them in another order than they were suspended in.
  for (const { greenlet } of round % 2 ? held.toReversed() : held) {
    for (let i = 0; i < 5 && !greenlet.dead; i++) greenlet.switch(7)
    if (!greenlet.dead) greenlet.kill()
    check(greenlet.dead, `${greenlet.name} has ended`)
  }
}
console.log('ok')
