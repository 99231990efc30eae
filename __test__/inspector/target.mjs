// The program that client.mjs debugs: greenlets take turns in `work` until finish() is called.

import { greenlets } from '../torture/lib/load.mjs'

const { Greenlet, GreenletError } = greenlets
const { main } = Greenlet

function work(tag) {
  let total = 0
  for (;;) {
    for (let i = 0; i < 200; i++) total += i % 7
    const got = main.switch(tag)
    total += got
  }
}

function attempt() {
  try {
    all.find((g) => g !== Greenlet.current).switch()
    return 'switched'
  } catch (error) {
    return error instanceof GreenletError ? error.code : String(error)
  }
}

function drive() {
  for (let turns = 0; turns < 50; turns++) for (const g of all) g.switch(1)
  if (!finished) setImmediate(drive)
  else process.exit(all.every((g) => g.state === 'suspended') ? 0 : 1)
}

const all = Array.from({ length: 8 }, (_, tag) => new Greenlet(work, { name: `worker ${tag}` }))
for (const [tag, g] of all.entries()) g.switch(tag)
let finished = false
Object.assign(globalThis, {
  finish: () => (finished = true),
  collect: () => (gc(), gc({ type: 'minor' })),
  /** Whether the stacks of the other greenlets can be read, and the result of a switch. */
  look: () => [all.filter((g) => g.gr_frame?.functionName === 'work').length >= 7, attempt()],
})
drive()
