import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { Greenlet } from '../js/index.ts'

const FILE = new URL('helpers/worker.mjs', import.meta.url)
const { main } = Greenlet

interface Report {
  readonly sum: number
  readonly frames: number
  readonly all: number
  readonly slept: number
}

async function report(worker: Worker): Promise<Report> {
  const [message] = (await once(worker, 'message')) as [Report]
  return message
}

test('main and Workers have their own greenlets at the same time', async (t) => {
  const log: unknown[] = []
  const g = new Greenlet(() => {
    for (;;) log.push(main.switch())
  })
  g.switch()
  const workers = Array.from({ length: 4 }, () => new Worker(FILE, { workerData: { parked: 50, rounds: 1000 } }))
  const exits = workers.map((worker) => once(worker, 'exit'))
  const reports = Promise.all(workers.map(report))
  for (let turns = 0; turns < 200; turns++) {
    g.switch(turns)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  for (const seen of await reports) t.deepEqual(seen, { sum: 501_500, frames: 3, all: 51, slept: 0 })
  t.deepEqual(
    (await Promise.all(exits)).map(([code]) => code as number),
    [0, 0, 0, 0],
  )
  g.switch('still here')
  t.is(log.at(-1), 'still here')
  g.kill()
})

test('a Worker can be terminated while its greenlets switch', async (t) => {
  for (let i = 0; i < 4; i++) {
    const worker = new Worker(FILE, { workerData: { parked: 20, rounds: 10, spin: true } })
    await report(worker)
    await new Promise((resolve) => setTimeout(resolve, 5 * i))
    t.is(await worker.terminate(), 1)
  }
})
