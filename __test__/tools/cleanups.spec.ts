// Children that wait in their cleanup while the tool that they belong to ends.

import test from 'ava'
import { sleep, spawn } from '../../js/index.ts'
import { group, Pool } from '../../js/tools/index.ts'

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
