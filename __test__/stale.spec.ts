import { inspect } from 'node:util'
import test from 'ava'
import { type Frame, Greenlet, StaleFrameError } from '../js/index.ts'
import { inner, keysOf, outer, parked } from './helpers/seed.ts'

/** A frame and a stack of a greenlet that was then resumed or ended, and the keys that they had before. */
function stale(end: 'was resumed' | 'has ended') {
  const g = new Greenlet(() => {
    for (;;) outer(1)
  })
  g.switch()
  const { gr_frame, gr_stack } = g
  const keys = { frame: keysOf(gr_frame!), stack: keysOf(gr_stack) }
  if (end === 'was resumed') g.switch()
  else g.kill()
  return { frame: gr_frame!, stack: gr_stack, keys }
}

for (const end of ['was resumed', 'has ended'] as const) {
  test(`a stale frame throws from every getter and method: its greenlet ${end}`, (t) => {
    const { frame, keys } = stale(end)
    t.true(keys.frame.includes('functionName') && keys.frame.includes('f_back') && keys.frame.length >= 19)
    for (const key of keys.frame) {
      const read = (): unknown => {
        const value: unknown = Reflect.get(frame, key)
        return typeof value === 'function' ? Reflect.apply(value, frame, []) : value
      }
      if (key === 'valid') t.is(read(), false)
      else t.throws(read, { instanceOf: StaleFrameError, code: 'ERR_GREENLET_STALE_FRAME' }, String(key))
    }
  })

  test(`a stale stack throws from every property and method: its greenlet ${end}`, (t) => {
    const { stack, keys } = stale(end)
    t.true(keys.stack.includes('0') && keys.stack.includes('map') && keys.stack.includes('detach'))
    for (const key of keys.stack) {
      const read = (): unknown => Reflect.get(stack, key)
      if (key === 'valid') t.is(read(), false)
      else t.throws(read, { instanceOf: StaleFrameError }, String(key))
    }
    // Methods of arrays that are called on it all the same.
    for (const key of keysOf([])) {
      const method: unknown = Reflect.get(Array.prototype, key)
      if (typeof method !== 'function') continue
      const call = (): unknown => (Reflect.apply(method, stack, [() => {}]) as Partial<Iterator<Frame>>).next?.()
      t.throws(call, { instanceOf: StaleFrameError }, String(key))
    }
    for (const look of [
      Object.keys,
      JSON.stringify,
      Object.isFrozen,
      (it: object) => '0' in it,
      (it: object) => ({ ...it }),
    ]) {
      t.throws(() => look(stack), { instanceOf: StaleFrameError })
    }
    t.true(Array.isArray(stack))
  })
}

test('the error of a stale frame names its greenlet and the epochs', (t) => {
  const g = new Greenlet(() => {
    for (;;) inner(1)
  })
  g.name = 'x'
  g.switch()
  const { gr_frame, gr_stack } = g
  const { epoch } = gr_stack
  g.switch()
  g.switch()
  const resumed = `greenlet 'x' was resumed; this snapshot is of epoch ${epoch}, it is now at ${epoch + 2}; use detach() to keep one`
  t.is(t.throws(() => gr_frame!.lineNumber).message, resumed)
  t.is(inspect(gr_stack), `[stale stack: ${resumed}]`)
  t.is(inspect(gr_frame), `[stale frame: ${resumed}]`)
  g.kill()
  const ended = `greenlet 'x' has ended; this snapshot is of epoch ${epoch}; use detach() to keep one`
  t.is(t.throws(() => gr_stack.length).message, ended)
})

test('a frame stays stale when another greenlet runs on the same stack', (t) => {
  const g = parked()
  const { gr_frame } = g
  g.kill()
  for (let i = 0; i < 10; i++) {
    const h = parked()
    t.false(gr_frame!.valid)
    t.throws(() => gr_frame!.functionName, { instanceOf: StaleFrameError })
    h.kill()
  }
})
