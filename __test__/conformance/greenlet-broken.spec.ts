// greenlet's tests for former crashes: switches that fail, and trace functions and getters that switch.

import test from 'ava'
import { thread } from '../../js/core/thread.ts'
import { Greenlet, GreenletError } from '../../js/index.ts'
import { mail, type Native, NO_MEMORY, STATUS } from '../../js/native/contract.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { runProgram } from '../helpers/program.ts'

const { main } = Greenlet

/** Like greenlet's UnswitchableGreenlet: during `body` the native function refuses every switch. */
function refused(body: () => void): void {
  const native: Native = thread.native
  const refuse = (): void => void (mail[STATUS] = NO_MEMORY)
  thread.native = { ...native, switch: refuse, start: refuse }
  try {
    body()
  } finally {
    thread.native = native
  }
}

const REFUSED = { instanceOf: GreenletError, code: 'ERR_GREENLET_NO_MEMORY', message: /'denied'/ }

leakcheck('103 failed_to_initialstub: if no stack is available, the greenlet has not started', (t) => {
  let ran = 0
  const g = new Greenlet(() => ++ran, { name: 'denied' })
  refused(() => t.throws(() => g.switch(), REFUSED))
  t.is(Greenlet.current, main)
  t.is(g.state, 'unstarted')
  t.is(ran, 0)
  t.is(g.switch(), 1)
})

leakcheck('104 failed_to_switch_into_running: after a switch that failed, the next one works', (t) => {
  const runs: number[] = []
  const run = (): void => {
    runs.push(1)
    main.switch()
    runs.push(2)
    main.switch()
    runs.push(3)
  }
  const g = new Greenlet(run, { name: 'denied' })
  g.switch()
  t.deepEqual(runs, [1])
  g.switch()
  t.deepEqual(runs, [1, 2])
  refused(() => {
    t.throws(() => g.switch(), REFUSED)
    t.throws(() => g.throw(new Error('not to be seen')), REFUSED)
  })
  t.is(Greenlet.current, main)
  t.is(g.state, 'suspended')
  t.deepEqual(runs, [1, 2])
  g.switch()
  t.deepEqual(runs, [1, 2, 3])
  t.true(g.dead)
})

/** Runs a program in which `settrace` and `log` are defined. */
async function traced(t: { deepEqual(a: unknown, b: unknown): unknown }, source: string): Promise<unknown> {
  const { code, stdout, stderr } = await runProgram(`
    const { settrace } = greenlets
    const results = []
    const log = (...entry) => void results.push(entry)
    let [g1, g2, switchToG2] = [null, null, false]
    ${source}
    console.log(JSON.stringify(results))
  `)
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  return JSON.parse(stdout)
}

test('106 reentrant_switch_two_greenlets: a trace function may switch', async (t) => {
  const results = await traced(
    t,
    `
    settrace((event, { origin, target }) => {
      log('TRACE', event, origin.name, target.name)
      if (switchToG2) {
        switchToG2 = false
        g2.switch()
      }
      log('LEAVE TRACE', event, origin.name, target.name)
    })
    g1 = new Greenlet(() => {
      log('In g1_run')
      switchToG2 = true
      main.switch()
      log('Falling off end of g1_run')
    }, { name: 'g1' })
    g2 = new Greenlet(() => {
      g1.switch()
      log('Falling off end of g2')
    }, { name: 'g2' })
    g1.switch()
    log('Falling off end of main')
    g2.switch()
    `,
  )
  // greenlet 3.5.6 prints the same.
  t.deepEqual(results, [
    ['TRACE', 'switch', 'main', 'g1'],
    ['LEAVE TRACE', 'switch', 'main', 'g1'],
    ['In g1_run'],
    ['TRACE', 'switch', 'g1', 'main'],
    ['TRACE', 'switch', 'main', 'g2'],
    ['LEAVE TRACE', 'switch', 'main', 'g2'],
    ['TRACE', 'switch', 'g2', 'g1'],
    ['LEAVE TRACE', 'switch', 'g2', 'g1'],
    ['Falling off end of g1_run'],
    ['TRACE', 'switch', 'g1', 'main'],
    ['LEAVE TRACE', 'switch', 'g1', 'main'],
    ['LEAVE TRACE', 'switch', 'g1', 'main'],
    ['Falling off end of main'],
    ['TRACE', 'switch', 'main', 'g2'],
    ['LEAVE TRACE', 'switch', 'main', 'g2'],
    ['Falling off end of g2'],
    ['TRACE', 'switch', 'g2', 'main'],
    ['LEAVE TRACE', 'switch', 'g2', 'main'],
  ])
})

test('107 reentrant_switch_three_greenlets: a switch in a trace function does not change the arguments of others', async (t) => {
  const results = await traced(
    t,
    `
    settrace(() => {
      if (!switchToG2) return
      switchToG2 = false
      g2.switch()
    })
    g1 = new Greenlet((...args) => {
      log('g1', args)
      switchToG2 = true
      log('from parent', main.switch())
    })
    g2 = new Greenlet((...args) => {
      log('g2', args)
      main.switch()
    })
    g1.switch(1)
    log('Back in main')
    g1.switch(2)
    g2.switch()
    `,
  )
  t.deepEqual(results, [['g1', [1]], ['g2', []], ['Back in main'], ['from parent', 2]])
})

test('108 reentrant_switch_three_greenlets2: a switch in the first trace call happens before the function runs', async (t) => {
  const results = await traced(
    t,
    `
    switchToG2 = true
    settrace((event) => {
      log('trace', event)
      if (!switchToG2) return
      switchToG2 = false
      g2.switch('g2 from tracefunc')
    })
    g1 = new Greenlet((arg) => {
      log('g1 arg', arg)
      log('g1 from parent', main.switch('from g1_run'))
      return 'g1 done'
    })
    g2 = new Greenlet((arg) => {
      log('g2 arg', arg)
      const parent = main.switch('from g2_run')
      log('g2 from parent', parent ?? [])
      return 'g2 done'
    })
    log('main g1', g1.switch('g1 from main'))
    log('main g2', g1.switch('g2 from main'))
    log('main g1.2', g1.switch('g1 from main 2'))
    log('main g2.2', g2.switch())
    `,
  )
  t.deepEqual(results, [
    ['trace', 'switch'],
    ['trace', 'switch'],
    ['g2 arg', 'g2 from tracefunc'],
    ['trace', 'switch'],
    ['main g1', 'from g2_run'],
    ['trace', 'switch'],
    ['g1 arg', 'g1 from main'],
    ['trace', 'switch'],
    ['main g2', 'from g1_run'],
    ['trace', 'switch'],
    ['g1 from parent', 'g1 from main 2'],
    ['trace', 'switch'],
    ['main g1.2', 'g1 done'],
    ['trace', 'switch'],
    ['g2 from parent', []],
    ['trace', 'switch'],
    ['main g2.2', 'g2 done'],
  ])
})

leakcheck(
  '109 reentrant_switch_GreenletAlreadyStartedInPython: a greenlet may start while its run is looked up',
  (t) => {
    const results: unknown[] = []
    const a: Greenlet = new Greenlet((...args: unknown[]) => void results.push(['Begin A', args]))
    let lookedUp = false
    const runB = (...args: unknown[]): void => {
      results.push(['Begin B', args])
      main.switch('From B')
    }
    class B extends Greenlet {}
    Object.defineProperty(B.prototype, 'run', {
      get(this: B) {
        if (!this.started && !lookedUp) {
          lookedUp = true
          results.push(['Switch to b in C', Greenlet.current === c])
          b.switch()
          results.push(['Back from main in C', Greenlet.current === c])
        }
        return runB
      },
    })
    const b: Greenlet = new B(null, { parent: a })
    const c: Greenlet = new Greenlet(
      () => {
        results.push('Begin C')
        b.switch('From C')
        results.push('C done')
      },
      { parent: b },
    )
    results.push(['main from c', c.switch()])
    // This resumes C, where it was switching to B. B has started: it continues, ends, and starts A.
    c.switch()
    results.push([a.dead, b.dead, c.dead])
    results.push(['main from c.2', c.switch()])
    t.true(c.dead)
    t.deepEqual(results, [
      'Begin C',
      ['Switch to b in C', true],
      ['Begin B', []],
      ['main from c', 'From B'],
      ['Back from main in C', true],
      ['Begin A', [undefined]],
      [true, true, false],
      'C done',
      ['main from c.2', undefined],
    ])
  },
)
