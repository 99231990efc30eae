// Children that wait in their cleanup while the tool that they belong to ends.

import test from 'ava'
import { sleep, spawn } from '../../js/index.ts'
import { group, Pool } from '../../js/tools/index.ts'
import { turn } from '../helpers/promises.ts'

test('the cleanup of a child is not broken when another child has failed', async (t) => {
  const log: string[] = []
  const failing = spawn(() =>
    group((children) => {
      children.spawn(() => {
        try {
          sleep(60_000)
        } finally {
          sleep(5)
          log.push('cleaned up')
        }
      })
      children.spawn(() => {
        sleep(1)
        throw new Error('failed')
      })
      sleep(60_000)
    }),
  )
  await t.throwsAsync(failing, { message: 'failed' })
  t.deepEqual(log, ['cleaned up'])
})

test('the cleanup of a call is not broken when another call of map() has failed', async (t) => {
  const log: number[] = []
  const mapped = spawn(() =>
    new Pool(2).map([1, 2], (n) => {
      if (n === 2) {
        sleep(1)
        throw new Error('failed')
      }
      try {
        sleep(60_000)
      } finally {
        sleep(5)
        log.push(n)
      }
    }),
  )
  await t.throwsAsync(mapped, { message: 'failed' })
  t.deepEqual(log, [1])
})

test('join() of a pool ends where a greenlet was killed after it had got the last place', async (t) => {
  const pool = new Pool(1)
  const running = pool.spawn(() => sleep(60_000))
  await turn()
  const waiting = spawn(() => pool.spawn(() => {}))
  const joining = spawn(() => pool.join({ timeout: 5000 }))
  await turn()
  t.is(pool.waiting, 1)
  running.kill()
  waiting.kill()
  await joining
  t.is(pool.free, 1)
})
