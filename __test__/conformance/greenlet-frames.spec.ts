// The frames of suspended greenlets, as greenlet's issue #388 asks for them.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Greenlet } from '../../js/index.ts'
import { fixture } from '../helpers/fixture.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet
const native = fixture()

/** Runs another greenlet, which overwrites anything that is left of earlier stacks. */
function clobber(): void {
  new Greenlet(() => JSON.stringify(Array.from({ length: 100 }, (_, i) => ({ i })))).switch()
}

leakcheck('54 frame: gr_frame is the frame that switched away, as long as that frame exists', (t) => {
  const g = new Greenlet(function outermost() {
    t.is(g.gr_frame, null, 'it runs')
    main.switch()
    return 'meaning of life'
  })
  t.is(g.gr_frame, null)
  t.false(g.started)
  g.switch()
  const frame = g.gr_frame!
  t.is(frame.functionName, 'outermost')
  t.is(frame.f_back, null)
  t.is(g.gr_stack[0], frame)
  t.true(g.started && !g.dead)
  t.is(g.switch(), 'meaning of life')
  t.true(g.dead)
  t.is(g.gr_frame, null)
  t.is(g.gr_stack.length, 0)
})

leakcheck('80 can_access_f_back_of_suspended_greenlet: the outer frames can be read, too', (t) => {
  const hub = new Greenlet(function outer() {
    ;(function inner() {
      main.switch()
    })()
  })
  hub.switch()
  clobber()
  const frame = hub.gr_frame!
  t.is(frame.functionName, 'inner')
  t.is(frame.f_back!.functionName, 'outer')
  t.is(frame.f_back!.f_back, null)
  hub.kill()
})

leakcheck('81 get_stack_with_nested_c_calls: native frames between JavaScript frames hide none of them', (t) => {
  const recurse = (v: number): number => (v > 0 ? v * native.call(() => recurse(v - 1)) : main.switch<number>())
  const g = new Greenlet(recurse)
  g.switch(5)
  clobber()
  const names = g.gr_stack.map((frame) => frame.functionName).filter((name) => name === 'recurse')
  t.is(names.length, 6)
  let frame = g.gr_frame
  for (let level = 0; level < 5; level++) {
    t.is(frame!.functionName, 'recurse')
    frame = frame!.f_back // the arrow function that the add-on calls
    t.not(frame!.functionName, 'recurse')
    frame = frame!.f_back
  }
  t.is(frame!.functionName, 'recurse')
  t.is(frame!.f_back, null)
  t.is(g.switch(10), 1200)
})

leakcheck('82 frames_always_exposed: an outer frame can be read by itself', (t) => {
  const g = new Greenlet(function outer() {
    ;(function inner() {
      main.switch()
    })()
  })
  g.switch()
  const outer = g.gr_stack[1]!
  clobber()
  t.is(outer.functionName, 'outer')
  t.is(outer.f_back, null)
  t.is(outer.fileName, import.meta.url)
  g.kill()
})

leakcheck('83 switching_holding_critical_section_no_crash: two sorts at once, one inside the other', (t) => {
  const results: unknown[] = []
  const compare =
    (other: () => Greenlet) =>
    (a: number, b: number): number => {
      if (!other().dead) other().switch()
      return a - b
    }
  const g1: Greenlet = new Greenlet(() => {
    results.push([3, 1, 2].sort(compare(() => g2)))
    if (!g2.dead) g2.switch()
  })
  const g2: Greenlet = new Greenlet(() => {
    results.push([6, 4, 5].sort(compare(() => g1)))
    results.push(readFileSync(fileURLToPath(import.meta.url), 'utf8').length > 100)
  })
  g1.switch()
  while (!g1.dead || !g2.dead) (g1.dead ? g2 : g1).switch()
  t.deepEqual(results.toSorted(), [[1, 2, 3], [4, 5, 6], true].toSorted())
})
