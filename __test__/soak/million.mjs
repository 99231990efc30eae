// Makes, reads, resumes and ends a million greenlets that are all suspended at the same time in one process. Prints the cost of
// each. `node --expose-gc million.mjs [number] [depth]`

import { greenlets, check } from '../torture/lib/load.mjs'

const { Greenlet, runtimeInfo } = greenlets
const { main } = Greenlet
const [COUNT, DEPTH] = [Number(process.argv[2] ?? 1e6), Number(process.argv[3] ?? 3)]

const descend = (depth) => (depth === 0 ? main.switch('parked') : descend(depth - 1) + 1)
const make = () => new Greenlet(() => descend(DEPTH))
const rss = () => process.memoryUsage.rss()

/** CPU time of `work` in microseconds; the machine may be busy with other work. */
function timed(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}
const each = (what, microseconds, count = COUNT) => console.log(`${what}: ${(microseconds / count).toFixed(2)} us each`)

// Lets the young generation grow to its full size before the measurements.
for (let i = 0; i < 50_000; i++) {
  const greenlet = make()
  greenlet.switch()
  greenlet.switch(0)
}
globalThis.gc?.()
const before = rss()
const all = Array.from({ length: COUNT })
each(
  'made and suspended',
  timed(() => {
    for (let i = 0; i < COUNT; i++) {
      all[i] = make()
      check(all[i].switch() === 'parked', 'it is suspended')
    }
  }),
)
const { slots, spilled, spilledBytes } = runtimeInfo()
console.log(`${COUNT} suspended, ${spilled} of them spilled, ${(spilledBytes / spilled).toFixed(0)} bytes in each copy`)
check(spilled === Math.max(0, COUNT - slots), 'all but those in the slots are spilled')
console.log(`memory: ${((rss() - before) / COUNT).toFixed(0)} bytes each, everything counted`)

if (globalThis.gc !== undefined) {
  for (let i = 0; i < 4; i++) globalThis.gc({ type: 'minor' })
  const minor = Math.min(...Array.from({ length: 5 }, () => timed(() => globalThis.gc({ type: 'minor' }))))
  console.log(`minor collection: ${(minor / 1000).toFixed(2)} ms`)
  each('full collection', timed(globalThis.gc))
}
each(
  'seen',
  timed(() => {
    for (const greenlet of all) check(greenlet.gr_stack.length === DEPTH + 2, 'its frames')
  }),
)
each(
  'resumed and ended',
  timed(() => {
    for (const [i, greenlet] of all.entries()) check(greenlet.switch(i) === i + DEPTH && greenlet.dead, 'its result')
  }),
)
check(runtimeInfo().spilled === 0 && Greenlet.all().length === 1, 'no greenlet is left')
console.log('ok')
