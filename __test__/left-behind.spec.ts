// Greenlets that are suspended inside of Node's C++ when their thread ends. The C++ code must release its objects.

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

test('a program ends with greenlets parked in HTTP/2 sessions when the event loop is empty', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}; parkTwenty(() => console.log('parked'))`)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'parked\n' })
})

fastOnly(test, NO_SPILLING)('a program ends with all of the parked greenlets spilled', async (t) => {
  const { code, signal, stdout } = await runProgram(`
    configure({ slots: 2 })
    ${PARKED}
    parkTwenty(() => console.log(runtimeInfo().spilled >= 18))`)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'true\n' })
})

test('a program ends by process.exit() in another greenlet', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}
    parkTwenty(() => new Greenlet(() => process.exit(3)).switch())`)
  t.deepEqual({ code, signal, stdout }, { code: 3, signal: null, stdout: '' })
})

test('a program ends by an uncaught error', async (t) => {
  const { code, signal, stdout } = await runProgram(`${PARKED}
    parkTwenty(() => { throw new Error('last') })`)
  t.deepEqual({ code, signal, stdout }, { code: 1, signal: null, stdout: '' })
})

test('a program ends with regular expressions, sorting, JSON and vm scripts on suspended stacks', async (t) => {
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
