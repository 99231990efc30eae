/**
 * The first part of the demo: https://github.com/python-greenlet/greenlet/issues/388 in JavaScript, the issue that this project
 * grew from. It reads the whole stack of a suspended greenlet, not only its innermost frame. A frame that is read after the
 * greenlet went on throws an error instead of giving garbage.
 */

import assert from 'node:assert/strict'
import { Greenlet, StaleFrameError } from '../js/index.ts'
import { heading, stackText } from './show.ts'

function inner(): unknown {
  const parent = Greenlet.current.parent!
  const got = parent.switch(42)
  return parent.switch(got)
}

function outer(): unknown {
  return inner()
}

/** The same with V8's own functions in between, through which neither `yield` nor `await` can suspend. */
function outerThroughBuiltIns(): unknown {
  const order = {
    get total(): unknown {
      return JSON.parse('1', function reviver() {
        return inner()
      })
    },
  }
  return [1].map(function callback() {
    return order.total
  })
}

export function seed(): void {
  heading('A suspended greenlet shows its whole stack')
  look(outer, ['inner', 'outer'])

  heading('... also through Array.prototype.map, a getter and the reviver of JSON.parse')
  const between = ['reviver', 'parse', 'get total', 'callback', 'map']
  look(outerThroughBuiltIns, ['inner', ...between, 'outerThroughBuiltIns'])
}

function look(run: () => unknown, names: (string | null)[]): void {
  const gr = new Greenlet(run)
  assert.equal(gr.switch(), 42)
  console.log('inner switched 42 to its parent, and is suspended. gr.gr_stack:\n')
  console.log(stackText(gr.gr_stack))

  const frame = gr.gr_frame!
  assert.equal(frame.functionName, 'inner')
  assert.equal(frame.f_back?.functionName, names[1])
  assert.deepEqual(
    gr.gr_stack.map((each) => each.functionName),
    names,
  )
  console.log(`\ngr.gr_frame is in ${frame.functionName}, its f_back in ${frame.f_back?.functionName}.`)

  assert.equal(gr.switch('resumed'), 'resumed')
  assert.throws(
    () => frame.functionName,
    (error) => {
      assert.ok(error instanceof StaleFrameError)
      console.log(`The frame was kept, and gr resumed:\n\n    ${error.name}: ${error.message}`)
      return true
    },
  )
  gr.switch()
  assert.ok(gr.dead)
}
