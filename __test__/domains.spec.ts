// Domains (node:domain): each greenlet has its own entered domains, just as it has its own async context.

import domain from 'node:domain'
import test from 'ava'
import { Greenlet } from '../js/index.ts'
import { printed, runProgram } from './helpers/program.ts'

const { main } = Greenlet
// oxlint-disable-next-line no-deprecated -- it is what is tested
const { create } = domain

type Domain = ReturnType<typeof create> & { enter(): void; exit(): void }

const current = (): unknown => (process as { domain?: unknown }).domain ?? undefined
const stack = (): unknown[] => [...(domain as unknown as { _stack: unknown[] })._stack]
const active = (): unknown => (domain as unknown as { active: unknown }).active ?? undefined
const make = (): Domain => create() as Domain
const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i])

test.serial('main is in no domain while a greenlet is suspended in one', (t) => {
  const d = make()
  const g = new Greenlet(() => {
    d.run(() => {
      main.switch()
      t.true(current() === d)
      t.true(active() === d)
    })
    t.is(current(), undefined)
  })
  g.switch()
  t.is(current(), undefined)
  t.is(active(), undefined)
  t.deepEqual(stack(), [])
  g.switch()
  t.true(g.dead)
  t.deepEqual(stack(), [])
})

test.serial(
  'a domain that was entered more than once is entered as often after a suspension, and main is not in it',
  (t) => {
    const [d, e] = [make(), make()]
    const g = new Greenlet(() => {
      for (const each of [d, e, d, d, d]) each.enter()
      for (let i = 0; i < 3; i++) {
        main.switch()
        t.true(same(stack(), [d, e, d, d, d]))
      }
      while (stack().length > 0) d.exit()
    })
    for (let i = 0; i < 4; i++) {
      g.switch()
      t.deepEqual(stack(), [])
      t.is(current(), undefined)
    }
    t.true(g.dead)
  },
)

test.serial('main keeps the domains it is in while greenlets run', (t) => {
  const [d, e] = [make(), make()]
  const g = new Greenlet(() => {
    t.deepEqual(stack(), [])
    e.run(() => main.switch())
  })
  d.run(() => {
    g.switch()
    t.true(current() === d)
    t.true(same(stack(), [d]))
    g.switch()
    t.true(current() === d)
  })
  t.is(current(), undefined)
})

test.serial('greenlets that take turns each have their own domains, and leave them in any order', (t) => {
  const all = [1, 2, 3].map(() => {
    const [d, e] = [make(), make()]
    return new Greenlet(() => {
      d.run(() => {
        e.run(() => {
          main.switch()
          t.true(same(stack(), [d, e]))
        })
        main.switch()
        t.true(same(stack(), [d]))
      })
      main.switch()
      t.deepEqual(stack(), [])
    })
  })
  for (const order of [
    [0, 1, 2],
    [1, 2, 0],
    [2, 0, 1],
    [0, 2, 1],
  ]) {
    for (const i of order) all[i]!.switch()
    t.deepEqual(stack(), [])
  }
  t.true(all.every((g) => g.dead))
})

test.serial('a greenlet is in the domain in which it was made', (t) => {
  const d = make()
  const g = d.run(
    () =>
      new Greenlet(() => {
        t.true(same(stack(), [d]))
        main.switch()
        t.true(same(stack(), [d]))
        main.switch()
      }),
  )
  g.switch()
  t.deepEqual(stack(), [])
  g.switch()
  t.deepEqual(stack(), [])
  g.kill()
  t.deepEqual(stack(), [])
})

test.serial('a greenlet that is killed, or ends with an error, leaves no domain behind', (t) => {
  const d = make()
  const killed = new Greenlet(() => d.run(() => main.switch()))
  killed.switch()
  killed.kill()
  t.deepEqual(stack(), [])
  const failed = new Greenlet(() => {
    d.enter()
    throw new Error('failed')
  })
  t.throws(() => failed.switch(), { message: 'failed' })
  t.deepEqual(stack(), [])
  t.is(current(), undefined)
})

test.serial('process.domain that the program has set stays on its stack', (t) => {
  const holder = process as { domain?: unknown }
  const [d, e] = [make(), make()]
  const g = new Greenlet(() => {
    d.enter()
    holder.domain = e
    main.switch()
    t.true(current() === e)
    t.true(same(stack(), [d]))
  })
  g.switch()
  t.is(current(), undefined)
  g.switch()
  t.is(current(), undefined)
})

test.serial('a switch that is refused leaves the domains as they are', (t) => {
  const d = make()
  d.run(() => {
    const g = new Greenlet()
    t.throws(() => g.switch(), { code: 'ERR_GREENLET_NO_RUN' })
    t.true(same(stack(), [d]))
    const inside = new Greenlet(() => main.throw(new Error('to main')))
    t.throws(() => inside.switch(), { message: 'to main' })
    t.true(same(stack(), [d]))
    inside.kill()
  })
})

const LATE = `const { default: domain } = await import('node:domain')`
for (const [when, before, after] of [
  ['before the first greenlet', LATE, ''],
  ['after the first greenlet', '', `new Greenlet(() => {}).switch(); ${LATE}`],
] as const) {
  test(`errors go to the domains of their own stack; node:domain is loaded ${when}`, async (t) => {
    const ending = await runProgram(
      `${after}
       process.on('uncaughtException', (error) => console.log('main', error.message))
       const d = domain.create().on('error', (error) => console.log('domain', error.message))
       const g = new Greenlet(() => d.run(() => { main.switch(); setTimeout(() => { throw new Error('of the greenlet') }, 5) }))
       g.switch()
       setTimeout(() => { throw new Error('of main') })
       setTimeout(() => g.switch(), 5)
       process.on('exit', () => console.log(String(process.domain ?? 'none'), domain._stack.length))`,
      { before },
    )
    t.deepEqual(ending, printed('main of main\ndomain of the greenlet\nnone 0\n'))
  })
}

test('a domain is not told about the exit of a killed greenlet', async (t) => {
  const ending = await runProgram(
    `${LATE}
     const never = new Promise(() => {})
     const d = domain.create().on('error', (error) => console.log('domain', error.message))
     const target = new EventTarget()
     target.addEventListener('x', () => wait(never))
     const [g, h] = d.run(() => [spawn(async () => { wait(never) }), spawn(() => { target.dispatchEvent(new Event('x')) })])
     setTimeout(() => d.run(() => { g.kill(); h.kill() }), 5)
     setTimeout(() => console.log(g.state, h.state, domain._stack.length), 15)`,
  )
  t.deepEqual(ending, printed('dead dead 0\n'))
})
