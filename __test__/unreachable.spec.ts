import test from 'ava'
import { Greenlet, GreenletExit, spawn, wait } from '../js/index.ts'
import { collect, collectRounds, collectUntil } from './helpers/collect.ts'
import { sameItems } from './helpers/identity.ts'
import { turn } from './helpers/promises.ts'
import { printed, runProgram } from './helpers/program.ts'
import { warningsOf } from './helpers/warnings.ts'

const main = Greenlet.main

/** Suspends a greenlet that logs how it ends, and drops all references to it. */
function forget(log: unknown[], body: () => unknown = () => main.switch()): void {
  new Greenlet(() => {
    try {
      body()
    } catch (error) {
      log.push(error)
      throw error
    } finally {
      log.push('finally')
    }
  }).switch()
}

test.serial('an unreachable suspended greenlet gets a GreenletExit', async (t) => {
  const before = Greenlet.all().length
  const log: unknown[] = []
  forget(log)
  t.deepEqual(log, [])
  t.is(Greenlet.all().length, before + 1)
  await collectUntil(() => log.length > 0)
  t.true(log[0] instanceof GreenletExit)
  t.is(log[1], 'finally')
  t.is(Greenlet.all().length, before)
})

test.serial(
  'the stack of an unreachable greenlet is reused: ten times as many greenlets as there are slots',
  async (t) => {
    let ended = 0
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 500; j++) {
        new Greenlet(() => {
          try {
            main.switch()
          } finally {
            ended++
          }
        }).switch()
      }
      await collectUntil(() => ended === (i + 1) * 500)
    }
    t.is(ended, 10_000)
  },
)

test.serial('a reachable greenlet stays suspended through collections', async (t) => {
  const log: unknown[] = []
  const held: Greenlet = new Greenlet(() => {
    forget(log, () => held.switch())
    return main.switch()
  })
  held.switch()
  await collectUntil(() => log.length > 0)
  t.is(log.length, 2)
  t.is(held.state, 'suspended')
  t.is(held.switch('end'), 'end')
})

test.serial('a child keeps its parent reachable', async (t) => {
  const log: unknown[] = []
  const child = (() => {
    const parent = new Greenlet(() => {
      main.switch()
      log.push('back in the parent')
    })
    parent.switch()
    return new Greenlet(() => main.switch(), { parent })
  })()
  child.switch()
  await collectRounds(3)
  child.switch()
  t.deepEqual(log, ['back in the parent'])
})

test.serial('a waiting greenlet is reachable as long as its promise is', async (t) => {
  const log: unknown[] = []
  let resolve!: (value: unknown) => void
  const promise = new Promise((r) => (resolve = r))
  forget(log, () => log.push(wait(promise)))
  await collectRounds(5)
  t.deepEqual(log, [])
  resolve('the value')
  await turn()
  t.deepEqual(log, ['the value', 'finally'])
})

test.serial(
  'a greenlet that waits for a promise that cannot settle is held by its own stack, and all() lists it',
  async (t) => {
    const log: unknown[] = []
    const before = new Set(Greenlet.all())
    forget(log, () => wait(new Promise(() => {})))
    await collectRounds(3)
    t.deepEqual(log, [])
    for (const g of Greenlet.all()) if (!before.has(g)) g.kill()
    t.is(log[1], 'finally')
  },
)

test.serial('a greenlet that all() returns after its object was collected stays suspended', async (t) => {
  const before = new Set(Greenlet.all())
  const log: unknown[] = []
  forget(log)
  // The registry holds it weakly after the first collection.
  await collectRounds(1)
  await collect()
  // In the same job as the collection: the FinalizationRegistry has not called back yet.
  const [found] = Greenlet.all().filter((g) => !before.has(g))
  t.is(found?.state, 'suspended')
  await collectRounds(3)
  t.deepEqual(log, [])
  found!.kill()
  t.is(log[1], 'finally')
})

test.serial('an unreachable spawned greenlet is ended, unless its result is awaited', async (t) => {
  const log: unknown[] = []
  const before = new Set(Greenlet.all())
  const forgetSpawned = (name: string) =>
    spawn(() => {
      try {
        main.switch()
      } finally {
        log.push(name)
      }
    })
  forgetSpawned('not awaited')
  const awaited = (async () => {
    await t.throwsAsync(forgetSpawned('awaited'), { code: 'ERR_GREENLET_KILLED' })
    log.push('told')
  })()
  await turn()
  await collectUntil(() => log.length > 0)
  await collectRounds(3)
  t.deepEqual(log, ['not awaited'])
  for (const g of Greenlet.all()) if (!before.has(g)) g.kill()
  await awaited
  t.deepEqual(log, ['not awaited', 'awaited', 'told'])
})

test.serial('an error of an unreachable spawned greenlet is an unhandled rejection, and its exit is not', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    const ended = new Set()
    process.on('unhandledRejection', (error) => console.log('unhandled', error.message))
    const forget = (name, error) => void spawn(() => {
      try { main.switch() } finally { ended.add(name); if (name === 'remade') Greenlet.current; if (error !== undefined) throw error }
    })
    forget('fails', new Error('of the finally block'))
    forget('remade', new Error('of a new object'))
    forget('ends')
    for (let i = 0; ended.size < 3 && i < 1000; i++) { await new Promise((resolve) => setTimeout(resolve, 5)); gc() }
    await new Promise((resolve) => setTimeout(resolve, 5))
    console.log([...ended].sort().join())`,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'unhandled of a new object\nunhandled of the finally block\nends,fails,remade\n', stderr: '' },
  )
})

test.serial('an unreachable greenlet may wait while it ends', async (t) => {
  const log: unknown[] = []
  const found = await warningsOf(async () => {
    forget(log, () => {
      try {
        main.switch()
      } finally {
        log.push(wait(Promise.resolve('cleaned up')))
      }
    })
    await collectUntil(() => log.length > 2)
  })
  t.is(log[0], 'cleaned up')
  t.true(log[1] instanceof GreenletExit)
  t.deepEqual(found, [])
})

test.serial('an unreachable greenlet that ends is current, under another object', async (t) => {
  const seen: unknown[] = []
  const parent = new Greenlet(() => main.switch())
  new Greenlet(
    () => {
      try {
        main.switch()
      } finally {
        const { current } = Greenlet
        seen.push(current.name, current.state, current === Greenlet.current, current.parent)
      }
    },
    { name: 'forgotten', parent },
  ).switch()
  await collectUntil(() => seen.length > 0)
  sameItems(t, seen, ['forgotten', 'running', true, main])
})

test.serial('an error with which an unreachable greenlet ends is a warning', async (t) => {
  const found = await warningsOf(async () => {
    const log: unknown[] = []
    forget(log, () => {
      try {
        main.switch()
      } catch {
        throw new Error('not today')
      }
    })
    await collectUntil(() => log.length > 0)
  })
  t.is(found.length, 1)
  t.is(found[0]!.name, 'GreenletWarning')
  t.is((found[0] as NodeJS.ErrnoException).code, 'GREENLET_UNREACHABLE')
  t.regex(found[0]!.message, /^greenlet 'greenlet-\d+', which had become unreachable, ended with an error$/)
})

test('an error that cannot be read, and ends an unreachable greenlet, is a warning', async (t) => {
  const ending = await runProgram(
    `
    let ended = 0
    process.on('warning', ({ message, detail }) => console.log(message, detail))
    const throwing = Object.defineProperty(new Error('not today'), 'stack', { get() { throw new Error('of the getter') } })
    const make = (name, error) => new Greenlet(() => { try { main.switch() } catch { ended++; throw error } }, { name }).switch()
    make('getter', throwing)
    make('null', Object.create(null))
    make('proxy', new Proxy(new Error('x'), { get() { throw new Error('of the trap') }, getPrototypeOf() { throw new Error('of the trap') } }))
    for (let i = 0; ended < 3 && i < 1000; i++) { await new Promise((resolve) => setTimeout(resolve, 5)); gc() }
    await new Promise((resolve) => setTimeout(resolve, 5))
    console.log(Greenlet.all().length)
  `,
    { flags: ['--expose-gc'] },
  )
  const warning = (name: string, detail: string): string =>
    `greenlet '${name}', which had become unreachable, ended with an error ${detail}\n`
  const stdout = warning('proxy', 'an object') + warning('null', 'an object') + warning('getter', 'Error: not today')
  t.deepEqual(ending, printed(`${stdout}1\n`))
})

test.serial('an unreachable greenlet that refuses to end causes one warning, and all() lists it', async (t) => {
  const before = new Set(Greenlet.all())
  const found = await warningsOf(async () => {
    let refused = false
    new Greenlet(
      () => {
        try {
          main.switch()
        } catch {
          refused = true
        }
        return main.switch()
      },
      { name: 'stubborn' },
    ).switch()
    await collectUntil(() => refused)
    await collectRounds(3)
  })
  t.is(found.length, 1)
  t.regex(found[0]!.message, /^greenlet 'stubborn'.*Greenlet\.all\(\) finds it$/)
  const [stubborn] = Greenlet.all().filter((g) => !before.has(g) && g.name === 'stubborn')
  t.is(stubborn!.state, 'suspended')
  t.is(stubborn!.switch('gone'), 'gone')
})

test.serial('a greenlet that is held by its own stack is reachable, and all() lists it', async (t) => {
  const log: unknown[] = []
  ;(() => {
    const self: Greenlet = new Greenlet(
      () => {
        try {
          main.switch(self)
        } finally {
          log.push('finally')
        }
      },
      { name: 'self-held' },
    )
    self.switch()
  })()
  await collectRounds(3)
  t.deepEqual(log, [])
  Greenlet.all()
    .find((g) => g.name === 'self-held')!
    .kill()
  t.deepEqual(log, ['finally'])
})

test('collect() ends, in the same job, the greenlets that a collection has found unreachable', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `const log = { ended: 0 }
    const drop = () => {
      new Greenlet(() => { try { main.switch() } finally { log.ended++ } }).switch()
    }
    const kept = Array.from({ length: 100 }, () => new Greenlet(() => main.switch()))
    for (const g of kept) g.switch()
    for (let i = 0; i < 5000; i++) drop()
    // The first call has let go of what was made last.
    console.log(Greenlet.collect(), log.ended)
    gc()
    Greenlet.collect()
    gc()
    Greenlet.collect()
    console.log(log.ended > 4990, Greenlet.all().length - 101 === 5000 - log.ended, Greenlet.collect())
    for (let i = 0; i < 3000; i++) drop()
    new Greenlet(() => { Greenlet.collect(); gc(); Greenlet.collect() }).switch()
    console.log(log.ended > 7990)
    for (let tries = 0; tries < 20 && log.ended < 7999; tries++) {
      await new Promise((resolve) => setImmediate(resolve))
      gc()
    }
    for (const g of kept) g.switch()
    console.log(kept.every((g) => g.dead), Greenlet.all().length <= 2)`,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '0 0\ntrue true 0\ntrue\ntrue true\n', stderr: '' })
})

test('collect() where the stack must not be left ends nothing; it happens later', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `const { runInNewContext } = await import('node:vm')
    let ended = 0
    const drop = () => {
      new Greenlet(() => { try { main.switch() } finally { ended++ } }).switch()
    }
    for (let i = 0; i < 100; i++) drop()
    Greenlet.collect()
    const attempt = () => { gc(); Greenlet.collect(); console.log(ended) }
    new Greenlet(() => runInNewContext('attempt()', { attempt }, { timeout: 60_000 })).switch()
    for (let tries = 0; tries < 20 && ended < 99; tries++) {
      await new Promise((resolve) => setImmediate(resolve))
      gc()
    }
    console.log(ended >= 99)`,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '0\ntrue\n', stderr: '' })
})
