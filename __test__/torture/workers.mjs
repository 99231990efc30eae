// Workers at once, each with greenlets of its own, half of them left suspended when it ends.

import { Worker } from 'node:worker_threads'
import { check, SLOW } from './lib/load.mjs'

const program = `
import { greenlets, check, collect, litter } from ${JSON.stringify(new URL('lib/load.mjs', import.meta.url).href)}
const { Greenlet } = greenlets
const body = (x) => { const mine = { x }; Greenlet.main.switch(x.i); return mine.x }
const all = Array.from({ length: 50 }, () => new Greenlet(body))
for (const [i, greenlet] of all.entries()) check(greenlet.switch({ i }) === i, 'a switch in a worker')
litter(2000)
collect(false)
for (const greenlet of all.slice(25)) check(greenlet.switch().i >= 25, 'a result in a worker')
`
const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`)
const run = () => new Promise((resolve, reject) => new Worker(url).once('exit', resolve).once('error', reject))
for (let round = 0; round < (SLOW ? 1 : 4); round++) {
  const ends = await Promise.all([run(), run(), run()])
  for (const status of ends) check(status === 0, `a worker ended with ${status}`)
}
console.log('ok')
