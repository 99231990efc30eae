// Many more greenlets than a thread has slots, or a process can have threads. `make soak` does the same with a million.

import test from 'ava'
import { Greenlet, runtimeInfo } from '../../js/index.ts'
import { fastOnly, NO_SPILLING } from '../helpers/lane.ts'

const COUNT = 100_000
const { main } = Greenlet

const descend = (depth: number): number => (depth === 0 ? main.switch<number>('parked') : descend(depth - 1) + 1)

fastOnly(test, NO_SPILLING)('a hundred thousand greenlets are suspended at once, can be read, and continue', (t) => {
  const all = Array.from({ length: COUNT }, (_, i) => new Greenlet(() => descend(i % 4)))
  t.true(all.every((greenlet) => greenlet.switch() === 'parked'))
  const { slots, spilled } = runtimeInfo()
  t.is(spilled, COUNT - slots!)
  t.is(Greenlet.all().length, COUNT + 1)
  for (let i = 0; i < COUNT; i += 1009) {
    t.is(all[i]!.gr_stack.filter((frame) => frame.functionName === 'descend').length, (i % 4) + 1)
  }
  // Resumes them backwards, so that each gets a slot that another one has used meanwhile.
  for (let i = COUNT - 1; i >= 0; i--) if (all[i]!.switch(i) !== i + (i % 4)) t.fail(`greenlet ${i}`)
  t.true(all.every((greenlet) => greenlet.dead))
  t.like(runtimeInfo(), { spilled: 0, spilledBytes: 0 })
  t.is(Greenlet.all().length, 1)
})
