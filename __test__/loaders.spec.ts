// Module loaders that copy exports, and so break variables that a module exports and changes later.

import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { runProgram } from './helpers/program.ts'

const LOADER = `
const { register } = await import('node:module')
register('./__test__/fixtures/copying-loader.mjs', 'file://' + process.cwd() + '/')
`

test('greenlets work where a loader copies the exports of each module', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    const built = await import('./dist/index.js')
    const { wait: copied } = await import('./dist/shared.js')
    const { wait: real } = await import('./dist/shared.js?real')
    console.log(copied === real)
    {
      const { Greenlet, spawn, wait, sleep, settrace } = built
      const g = new Greenlet(function outer(x) {
        return [Greenlet.current === g, [x].map(function inner(y) { return Greenlet.current.parent.switch(y + 1) })]
      })
      console.log(g.switch(1), g.gr_stack.map(({ functionName }) => functionName).join(), Greenlet.current === Greenlet.main)
      console.log(JSON.stringify(g.switch(3)), g.dead)
      console.log(await spawn(() => { sleep(1); return wait(Promise.resolve(5)) }))
      const unsettled = new Greenlet(() => Greenlet.current.parent.switch())
      unsettled.switch()
      await null
      unsettled.kill()
      let events = 0
      settrace(() => events++)
      new Greenlet(() => {}).switch()
      settrace(null)
      console.log(unsettled.dead, events, Greenlet.all().length)
      const thrown = new Greenlet(() => { throw new RangeError('mine') }, { name: 'thrower' })
      try { thrown.switch() } catch (error) { console.log(error.message) }
      // Ended greenlets, and those that a job leaves behind, use the registry.
      const parked = Array.from({ length: 50 }, () => new Greenlet(() => Greenlet.main.switch()))
      for (const one of parked) one.switch()
      await new Promise((resolve) => setImmediate(resolve))
      console.log(Greenlet.all().length, parked.every((one) => Greenlet.all().includes(one)))
    }
  `,
    { before: LOADER },
  )
  t.deepEqual(
    { code, stdout, stderr },
    {
      code: 0,
      stdout: 'true\n2 inner,map,outer true\n[true,[3]] true\n5\ntrue 2 1\nmine\n51 true\n',
      stderr: '',
    },
  )
})

test('no module exports a variable that can change', (t) => {
  const root = new URL('../js/', import.meta.url)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  t.true(files.length > 20)
  const found = files.filter((file) =>
    /^export (?:let|var)\b|^export default\b(?!.*\bfunction\b)/m.test(readFileSync(new URL(file, root), 'utf8')),
  )
  t.deepEqual(found, [])
})
