// Former leaks of greenlet. Only the process can show what a Worker leaves behind: its memory and its address space, in which
// the stacks of one thread are a gigabyte.

import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { Greenlet } from '../../js/index.ts'
import { collect, collectUntil } from '../helpers/collect.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { ended } from '../helpers/workers.ts'

const { main } = Greenlet
const WORKER = new URL('../helpers/conformance-worker.mjs', import.meta.url)
const MIB = 2 ** 20

/**
 * How many of them are alive. If V8 replaces the code of a loop that is suspended in the greenlet (Maglev's OSR), a slot of
 * that frame may keep the value that a switch brought at that time, until the function returns.
 */
function kept(refs: readonly WeakRef<object>[]): number {
  return refs.filter((ref) => ref.deref() !== undefined).length
}

leakcheck('136 arg_refs: arguments are not kept', async (t) => {
  const refs: WeakRef<object>[] = []
  const g = new Greenlet((...args: unknown[]) => {
    for (;;) args = main.switch<unknown[]>(...args)
  })
  const send = (): void => {
    // As in Python, a stack holds the arguments it was started with.
    g.switch()
    for (let i = 0; i < 100; i++) {
      const args = [{}, {}, {}]
      refs.push(...args.map((arg) => new WeakRef(arg)))
      t.is(g.switch<object[]>(...args)[2], args[2])
    }
    g.switch(1, 2, 3)
  }
  send()
  await collectUntil(() => kept(refs) <= 3)
  t.true(kept(refs) <= 3, `${kept(refs)} are kept`)
  g.kill()
})

leakcheck('137 kwarg_refs: an object of named arguments is not kept', async (t) => {
  const refs: WeakRef<object>[] = []
  const g = new Greenlet((named: object) => {
    for (;;) named = main.switch<object>(named)
  })
  const send = (): void => {
    g.switch({})
    for (let i = 0; i < 100; i++) {
      const named = { i }
      refs.push(new WeakRef(named))
      t.is(g.switch(named), named)
    }
    g.switch({})
  }
  send()
  await collectUntil(() => kept(refs) <= 1)
  t.true(kept(refs) <= 1, `${kept(refs)} are kept`)
  g.kill()
})

/** Address space and resident memory of this process, in bytes. */
async function memory(): Promise<{ readonly space: number; readonly resident: number }> {
  await collect()
  const [space, resident] = readFileSync('/proc/self/statm', 'utf8').split(' ')
  return { space: Number(space) * 4096, resident: Number(resident) * 4096 }
}

/** The growth of memory over four Workers, after the first ones. */
async function growth(work: () => Promise<void>): Promise<{ readonly space: number; readonly resident: number }> {
  await work()
  await work()
  const before = await memory()
  for (let times = 0; times < 4; times++) await work()
  const after = await memory()
  return { space: after.space - before.space, resident: after.resident - before.resident }
}

// A Worker's stacks are 1024 MiB of address space; a tenth of one in four Workers would be a leak.
test.serial('138 threaded_leak: a Worker that had only main leaves nothing behind', async (t) => {
  const { space, resident } = await growth(async () => {
    t.is((await ended(new Worker(WORKER, { workerData: 'main' }))).messages.length, 1)
  })
  t.true(space < 400 * MIB, `${space / MIB} MiB of address space`)
  t.true(resident < 40 * MIB, `${resident / MIB} MiB`)
})

test.serial('139 threaded_adv_leak: a Worker whose greenlets have ended leaves nothing behind', async (t) => {
  const { space, resident } = await growth(async () => {
    t.deepEqual((await ended(new Worker(WORKER, { workerData: 'finished' }))).messages, [1])
  })
  t.true(space < 400 * MIB, `${space / MIB} MiB of address space`)
  t.true(resident < 40 * MIB, `${resident / MIB} MiB`)
})

test.serial('145 untracked_memory_doesnt_increase: memory stops growing while greenlets start and end', async (t) => {
  const lives = (): void => {
    for (let i = 0; i < 10_000; i++) new Greenlet(() => 1).switch()
  }
  for (let times = 0; times < 3; times++) lives()
  let { resident: most } = await memory()
  // As in greenlet's test: memory may grow a few times, but not each time.
  for (let tries = 0; tries < 20; tries++) {
    lives()
    const { resident } = await memory()
    if (resident <= most) {
      t.pass()
      return
    }
    most = resident
  }
  t.fail('20 times 10,000 greenlets, and more memory after each')
})

test.serial(
  '146 untracked_memory_doesnt_increase_unfinished_thread_dealloc_in_thread: Workers end with thousands suspended',
  async (t) => {
    let greenlets = 0
    const { space, resident } = await growth(async () => {
      const worker = new Worker(WORKER, { workerData: 'unfinished' })
      const ending = ended(worker)
      await new Promise((resolve) => worker.once('message', resolve))
      t.is(await worker.terminate(), 1)
      t.deepEqual((await ending).messages, [true])
      greenlets += 1000
    })
    t.is(greenlets, 6000)
    t.true(space < 400 * MIB, `${space / MIB} MiB of address space`)
    // Four thousand greenlets, each with at least 8 KiB.
    t.true(resident < 16 * MIB, `${resident / MIB} MiB`)
  },
)
