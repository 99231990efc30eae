/**
 * Greenlets in tests: run the code under test until it makes a call to the outside, look where it is parked, decide what that
 * call returns or throws, and go on. The code under test need not be async, and need not know of greenlets.
 */

import test from 'ava'
import { Greenlet, GreenletExit } from '../js/index.ts'
import { type Bank, checkout } from './checkout.ts'

const ITEMS = [
  { name: 'book', price: 30 },
  { name: 'pen', price: 2 },
]

// Replaces the real bank: it passes the amount to the test, and is parked until the test answers.
const bank: Bank = {
  charge: (amount) => Greenlet.current.parent!.switch<string>(amount),
}

test('checkout charges one item after the other, and is paid after the last receipt', (t) => {
  const order = { state: 'open' }
  const gr = new Greenlet(() => checkout(ITEMS, bank, order), { name: 'checkout' })

  // Runs until the first charge.
  t.is(gr.switch(), 30)
  // The test can look at everything meanwhile: checkout does not run.
  t.is(order.state, 'open')

  // Where is it parked? Frames have names and files, and come innermost first.
  const stack = gr.gr_stack
  t.deepEqual(stack.map((frame) => frame.functionName).slice(0, 5), ['charge', 'pay', 'map', 'payAll', 'checkout'])
  t.deepEqual(
    // Functions of V8, such as Array.prototype.map, have no file.
    stack.map((frame) => frame.fileName?.split('/').at(-1)).slice(0, 5),
    ['park.spec.ts', 'checkout.ts', undefined, 'checkout.ts', 'checkout.ts'],
  )
  // The same frames, one by one, from the innermost outwards.
  t.is(gr.gr_frame?.functionName, 'charge')
  t.is(gr.gr_frame?.f_back?.functionName, 'pay')

  // The first charge returns; checkout stops again in the second.
  const before = stack.detach()
  t.is(gr.switch('receipt 1'), 2)
  // A stack that was read before checkout went on is stale; a detached copy lasts.
  t.false(stack.valid)
  t.throws(() => stack[0], { name: 'StaleFrameError' })
  t.is(before[0]?.functionName, 'charge')

  // The last charge returns, and then checkout returns.
  t.deepEqual(gr.switch('receipt 2'), ['receipt 1', 'receipt 2'])
  t.true(gr.dead)
  t.is(order.state, 'paid')
})

test('checkout is cancelled when a card is declined', (t) => {
  const order = { state: 'open' }
  const gr = new Greenlet(() => checkout(ITEMS, bank, order))
  gr.switch()
  // The error is thrown where checkout is parked, in bank.charge().
  t.throws(() => gr.throw(new Error('card declined')), { message: 'card declined' })
  t.is(order.state, 'cancelled')
})

test('checkout is cancelled when its greenlet is ended in the middle', (t) => {
  const order = { state: 'open' }
  const gr = new Greenlet(() => checkout(ITEMS, bank, order))
  gr.switch()
  t.true(gr.throw() instanceof GreenletExit)
  t.is(order.state, 'cancelled')
})
