// Overflows the stack inside greenlets many times, in JavaScript and in V8's own recursive functions, and continues.

import { check, collect, greenlets, SLOW } from './lib/load.mjs'

const { Greenlet } = greenlets

const deepArray = (depth) => {
  let array = []
  for (let i = 0; i < depth; i++) array = [array]
  return array
}
const recursive = {
  toString() {
    return `${this}`
  },
}
const kinds = {
  plain: () =>
    (function again() {
      return again() + 1
    })(),
  getter: () =>
    ({
      get self() {
        return this.self
      },
    }).self,
  stringify: () => JSON.stringify(deepArray(200_000)),
  // oxlint-disable-next-line no-base-to-string -- it must not end
  toString: () => String(recursive),
  sort: () =>
    (function again() {
      return [2, 1].sort(again)
    })(),
  proxy: () => {
    const proxy = new Proxy({}, { get: (_, key) => proxy[key] })
    return proxy.x
  },
  construct: () =>
    new (class Again {
      constructor() {
        return new Again()
      }
    })(),
}

for (let round = 0; round < (SLOW ? 1 : 3); round++) {
  for (const [name, overflow] of Object.entries(kinds)) {
    const greenlet = new Greenlet(() => {
      const before = { name }
      for (let i = 0; i < 2; i++) {
        let thrown
        try {
          overflow()
        } catch (error) {
          thrown = error
        }
        // Node 26 stringifies 200,000 levels without recursion.
        check(thrown instanceof RangeError || name === 'stringify', `${name} ended with ${thrown}`)
        Greenlet.main.switch(name)
        check(before.name === name, 'an object under an overflow')
      }
      return 'done'
    })
    check(greenlet.switch() === name, name)
    collect(false)
    check(greenlet.switch() === name, name)
    check(greenlet.switch() === 'done', name)
  }
}

// An overflow that the greenlet does not catch is thrown in its parent.
const uncaught = new Greenlet(kinds.plain)
try {
  uncaught.switch()
  check(false, 'an overflow that was lost')
} catch (error) {
  check(error instanceof RangeError && uncaught.dead, 'an overflow that left its greenlet')
}

// About as deep as on main.
const depthOf = () => {
  let depth = 0
  const deeper = () => {
    depth++
    deeper()
  }
  try {
    deeper()
  } catch {}
  return depth
}
depthOf()
const [onMain, inGreenlet] = [depthOf(), new Greenlet(depthOf).switch()]
check(inGreenlet > onMain * 0.75, `a greenlet is ${inGreenlet} calls deep, main ${onMain}`)
console.log('ok')
