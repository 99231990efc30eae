// Greenlets that switch to each other, start others, end in any order, throw through their parents and are collected while they
// run. V8 optimizes and deoptimizes code under their parked frames.

import { check, collect, greenlets, litter, random, SLOW } from './lib/load.mjs'

const { Greenlet, GreenletExit } = greenlets
const pick = random(388)

// A ring: each greenlet passes a growing object to the next.
{
  const laps = SLOW ? 60 : 600
  const ring = Array.from(
    { length: 30 },
    (_, i) =>
      new Greenlet(function link(box) {
        for (;;) {
          const mine = { i, before: box }
          if (box.count >= laps * 30) return Greenlet.main.switch(box)
          if (box.count % 500 === 0) collect(false)
          box = ring[(i + 1) % 30].switch({ count: box.count + 1, from: mine.i, trail: [i, ...box.trail.slice(0, 5)] })
          check(mine.i === i && box.from === (i + 29) % 30, 'the ring')
        }
      }),
  )
  const box = ring[0].switch({ count: 0, from: 29, trail: [] })
  check(box.count === laps * 30, 'the end of the ring')
  for (const greenlet of ring) greenlet.kill()
}

// A tree: every greenlet starts children and adds up what they return; some are killed on the way.
{
  let killed = 0
  const grow = (depth) => {
    const leaf = { depth, sum: 1 }
    if (depth === 0) return leaf
    for (let i = 0; i < 3; i++) {
      const child = new Greenlet(() => {
        Greenlet.current.parent.switch('started')
        return grow(depth - 1)
      })
      check(child.switch() === 'started', 'a child')
      if (pick(10) === 0) {
        child.kill()
        killed++
      } else {
        const found = child.switch()
        leaf.sum += found.sum
        check(found.depth === depth - 1, 'what a child returned')
      }
      if (pick(20) === 0) collect(false)
    }
    return leaf
  }
  for (let i = 0; i < (SLOW ? 2 : 8); i++) check(grow(4).sum >= 1, 'the sum of a tree')
  check(killed > 0, 'some children were killed')
}

// Errors pass three dead parents and stay the same object.
for (let i = 0; i < (SLOW ? 30 : 300); i++) {
  let error
  const fail = () => {
    litter(50)
    throw (error = new RangeError(`error ${i}`))
  }
  let failing = new Greenlet(fail)
  for (let up = 0; up < 3; up++) {
    const child = failing
    failing = new Greenlet(() => {
      child.parent = Greenlet.current
      return child.switch()
    })
  }
  try {
    failing.switch()
    check(false, 'an error that was lost')
  } catch (caught) {
    check(caught === error && caught.stack.includes('fail'), 'an error through its parents')
  }
}

// V8 optimizes functions while frames of them are parked; then its assumptions become wrong.
{
  const shape = { value: 1 }
  const read = (object, park) => {
    if (park) Greenlet.main.switch()
    return object.value + 1
  }
  const parked = Array.from(
    { length: 20 },
    () => new Greenlet(() => read({ value: 20 }, true) + read({ value: 20 }, true)),
  )
  for (const greenlet of parked) greenlet.switch()
  for (let i = 0; i < (SLOW ? 2000 : 50_000); i++) read(shape, false)
  for (const greenlet of parked) greenlet.switch()
  for (let i = 0; i < 200; i++) read(i % 2 ? { value: 'text' } : { other: 1, value: 2.5 }, false)
  collect()
  for (const greenlet of parked) check(greenlet.switch() === 42, 'a deoptimized frame')
}

// Thousands of short lives; some greenlets are left suspended and then killed.
{
  const left = []
  for (let i = 0; i < (SLOW ? 500 : 5000); i++) {
    const greenlet = new Greenlet((n) => {
      const mine = { n }
      if (n % 50 === 0) {
        try {
          Greenlet.main.switch(mine)
        } catch (error) {
          check(error instanceof GreenletExit && mine.n === n, 'the end of one that was left')
          throw error
        }
      }
      return mine
    })
    check(greenlet.switch(i).n === i, 'one of thousands')
    if (!greenlet.dead) left.push(greenlet)
  }
  collect()
  for (const greenlet of left) greenlet.kill()
  check(
    left.every((greenlet) => greenlet.dead),
    'those that were left',
  )
}
console.log('ok')
