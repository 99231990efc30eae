import test from 'ava'
import { Greenlet, GreenletError, spawn, wait } from '../js/index.ts'
import { later, pending, turn } from './helpers/promises.ts'
import { runProgram } from './helpers/program.ts'

test('switching to a greenlet that waits throws, and its value still arrives', async (t) => {
  const { promise, resolve } = pending<string>()
  const g = spawn(() => wait(promise))
  await turn()
  const expected = {
    instanceOf: GreenletError,
    code: 'ERR_GREENLET_WAITING',
    message: /'greenlet-\d+' cannot be switched to: .* use throw\(\) or kill\(\)/,
  }
  t.throws(() => g.switch('early'), expected)
  t.throws(() => g.switch(1, 2), expected)
  const dead = new Greenlet(() => {})
  dead.kill()
  dead.parent = g
  t.throws(() => dead.switch('early'), expected)
  t.throws(() => dead.throw(), expected)
  t.regex(String(g), / suspended active started waiting>$/)
  resolve('in time')
  t.is(await g, 'in time')
})

test('throw() interrupts a wait, and the promise is ignored from then on', async (t) => {
  const { promise, reject } = pending()
  const error = new Error('interrupted')
  const log: unknown[] = []
  const g = spawn(() => {
    try {
      wait(promise)
    } catch (caught) {
      log.push(caught)
    }
    return wait(later('second wait'))
  })
  await turn()
  g.throw(error)
  reject(new Error('not awaited'))
  t.is(await g, 'second wait')
  t.deepEqual(log, [error])
})

test('kill() interrupts a wait, and finally blocks run', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      wait(pending().promise)
    } finally {
      log.push('finally')
    }
  })
  await turn()
  g.kill()
  t.deepEqual(log, ['finally'])
  t.true(g.dead)
  await t.throwsAsync(g, { code: 'ERR_GREENLET_KILLED' })
})

test('kill() returns while its greenlet waits in a finally block, and the greenlet ends later', async (t) => {
  const g = spawn(() => {
    try {
      wait(pending().promise)
    } catch {
      return wait(later('cleaned up'))
    }
    return undefined
  })
  await turn()
  g.kill()
  t.false(g.dead)
  t.is(await g, 'cleaned up')
})

test('the result of a child that ends during a wait is dropped, and its error is thrown in the wait', async (t) => {
  const error = new Error('from the child')
  const { promise, resolve } = pending<string>()
  const g = spawn(() => {
    const first = wait(promise)
    try {
      wait(pending().promise)
    } catch (caught) {
      return [first, caught]
    }
    return undefined
  })
  await turn()
  const child = new Greenlet(() => 'dropped', { parent: g })
  t.is(child.switch(), undefined)
  t.true(child.dead)
  t.is(g.state, 'suspended')
  resolve('first')
  await turn()
  const failing = new Greenlet(
    () => {
      throw error
    },
    { parent: g },
  )
  failing.switch()
  t.deepEqual(await g, ['first', error])
})

test('a greenlet that runs promise jobs does not switch to a greenlet whose wait has ended', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    // Runs promise jobs on the stack that calls it. Node itself runs them on main only.
    const runJobs = new Function('%PerformMicrotaskCheckpoint()')
    await new Promise((resolve) => setImmediate(resolve))
    const log = []
    setImmediate(() => {
      let resolve
      const promise = new Promise((r) => (resolve = r))
      const waiter = new Greenlet(() => void log.push('waiter got ' + wait(promise)), { name: 'waiter' })
      waiter.switch()
      const other = new Greenlet(() => {
        promise.then(() => log.push('job on ' + Greenlet.current.name))
        resolve('the value')
        runJobs()
        log.push('back on ' + Greenlet.current.name)
      }, { name: 'other' })
      other.switch()
      log.push('back on ' + Greenlet.current.name)
      setTimeout(() => console.log(log.join(', ')), 20)
    })`,
    { flags: ['--allow-natives-syntax'] },
  )
  const expected = 'job on other, back on other, back on main, waiter got the value\n'
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: expected, stderr: '' })
})
