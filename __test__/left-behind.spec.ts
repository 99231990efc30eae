// Greenlets that are suspended when their thread ends, with C++ of Node in their stacks: it lets go of what it holds.

import test from 'ava'
import { fastOnly, NO_SPILLING } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

/** Parks twenty greenlets in HTTP/2 sessions. */
const PARKED = `
const { inSession } = await import('./__test__/helpers/session.mjs')
let parked = 0
function park(then) {
  if (++parked === 20) setImmediate(then)
  try { main.switch() } catch { console.log('caught') } finally { console.log('finally') }
  console.log('went on')
}
function parkTwenty(then) {
  for (let i = 0; i < 20; i++) inSession(Greenlet, () => park(then))
}`

test('the loop runs out of work', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}; parkTwenty(() => console.log('parked'))`)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'parked\n' })
})

fastOnly(test, NO_SPILLING)('all of them are spilled', async (t) => {
  const { code, signal, stdout } = await runProgram(`
    configure({ slots: 2 })
    ${PARKED}
    parkTwenty(() => console.log(runtimeInfo().spilled >= 18))`)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'true\n' })
})

test('process.exit() in a greenlet among them', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}
    parkTwenty(() => new Greenlet(() => process.exit(3)).switch())`)
  t.deepEqual({ code, signal, stdout }, { code: 3, signal: null, stdout: '' })
})

test('an error that nobody catches', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}
    parkTwenty(() => { throw new Error('last') })`)
  t.deepEqual({ code, signal, stdout }, { code: 1, signal: null, stdout: '' })
})

test('stacks with regular expressions, sorting, JSON and vm scripts in them', async (t) => {
  const { code, signal, stdout } = await runProgram(`
    const vm = await import('node:vm')
    const kept = []
    const bodies = [
      (stop) => 'a'.replace(/a/, stop),
      (stop) => [2, 1].sort(stop),
      (stop) => JSON.stringify({ toJSON: stop }),
      (stop) => JSON.parse('[1]', stop),
      (stop) => vm.runInNewContext('stop()', { stop }),
      (stop) => Reflect.construct(class { constructor() { stop() } }, []),
      (stop) => new Proxy({}, { get: stop }).x,
      (stop) => \`\${{ toString: stop }}\`,
    ]
    for (const body of bodies)
      for (let i = 0; i < 100; i++)
        kept.push(new Greenlet(() => { try { body(() => main.switch()) } finally { console.log('finally') } }))
    for (const g of kept) g.switch()
    console.log(Greenlet.all().length)`)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: '801\n' })
})
