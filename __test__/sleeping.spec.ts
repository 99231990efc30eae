import { getEventListeners } from 'node:events'
import test from 'ava'
import { Greenlet, sleep, spawn } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'
import { turn } from './helpers/promises.ts'

test('sleep() blocks the greenlet for a time, and does not block the thread', async (t) => {
  const log: string[] = []
  const started = performance.now()
  await Promise.all(
    [500, 20, 250].map((ms) =>
      spawn(() => {
        sleep(ms)
        log.push(`${ms}`)
      }),
    ),
  )
  t.deepEqual(log, ['20', '250', '500'])
  t.true(performance.now() - started >= 499)
  t.is(await spawn(() => sleep(0)), undefined)
})

test('sleep() throws the abort reason of its signal', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const log: string[] = []
  const g = spawn(() => {
    try {
      sleep(10_000, { signal: controller.signal })
    } catch (caught) {
      log.push('thrown')
      return caught
    }
    return undefined
  })
  await turn()
  controller.abort(reason)
  log.push('aborter goes on')
  t.is(await g, reason)
  t.deepEqual(log, ['aborter goes on', 'thrown'])
  t.is(await spawn(() => t.throws(() => sleep(1, { signal: controller.signal }))), reason)
})

test('a greenlet may abort the sleep of another one', async (t) => {
  const controller = new AbortController()
  const sleeper = spawn(() => t.throws(() => sleep(10_000, { signal: controller.signal })))
  const aborter = spawn(() => {
    sleep(1)
    controller.abort(new Error('by a greenlet'))
    return Greenlet.current.name
  })
  t.regex(await aborter, /^greenlet-/)
  t.is((await sleeper).message, 'by a greenlet')
})

test('a sleep leaves no timer behind when it is interrupted', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const { signal } = new AbortController()
    const g = spawn(() => sleep(1_000_000, { signal }))
    setTimeout(() => { g.kill(); console.log('killed') }, 20)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'killed\n', stderr: '' })
})

test('a sleep leaves no listener on its signal, whether it is interrupted or not', async (t) => {
  const { signal } = new AbortController()
  const listeners = (): number => getEventListeners(signal, 'abort').length
  const interrupted = new Greenlet(() => sleep(1_000_000, { signal }))
  interrupted.switch()
  t.is(listeners(), 1)
  interrupted.kill()
  t.is(listeners(), 0)
  await spawn(() => sleep(1, { signal }))
  t.is(listeners(), 0)
})
