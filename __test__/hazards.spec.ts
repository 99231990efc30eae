// Tests the lock that docs/hazards.md shows.

import { readFileSync } from 'node:fs'
import test from 'ava'
import { makePrints } from './helpers/prints.ts'

const text = readFileSync(new URL('../docs/hazards.md', import.meta.url), 'utf8')
const [, code] = /```js\nimport .*\n([^]*?)```/.exec(text)!
const LOCK = code!.replace('export ', '')

/** A macro: the program prints this. */
const prints = makePrints({ head: LOCK })

test(
  'one greenlet at a time, in the order in which they came; also after an error',
  prints,
  `
  const lock = new Lock(), log = [], errors = []
  const all = ['a', 'b', 'c', 'd'].map((name) => spawn(() => lock.run(() => {
    log.push(name)
    sleep(2)
    lock.run(() => log.push(name + name))
    sleep(1)
    if (name === 'b') throw new Error('b')
  })).then(() => {}, (error) => errors.push(error.message)))
  await Promise.all(all)
  console.log(...log, errors)
  await spawn(() => lock.run(() => console.log('free')))`,
  "a aa b bb c cc d dd [ 'b' ]\nfree\n",
)

test(
  'a greenlet that is killed leaves the queue, or passes the lock on',
  prints,
  `
  const lock = new Lock(), log = []
  const make = (name) => { const g = new Greenlet(() => lock.run(() => { log.push(name); sleep(5) }), { name }); g.switch(); return g }
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(make)
  b.kill() // in the queue
  a.kill() // it has the lock, which c gets; c has not run yet
  c.kill()
  await new Promise((resolve) => setTimeout(resolve, 30))
  console.log(log.join(' '), [a, b, c, d].every((g) => g.dead))`,
  'a d true\n',
)

test(
  'main cannot wait for the lock',
  prints,
  `
  const lock = new Lock()
  const g = new Greenlet(() => lock.run(() => main.switch()))
  g.switch()
  try { lock.run(() => console.log('wrong')) } catch (error) { console.log(error.code) }
  g.switch()
  lock.run(() => console.log('free'))`,
  'ERR_GREENLET_WAIT_ON_MAIN\nfree\n',
)
