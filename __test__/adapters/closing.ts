// What close() must not do, for the adapter of each framework.

import { setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { ServerOptions } from '../../js/adapters/request/options.ts'
import { sleep, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import type { Served } from './kits.ts'
import { others } from './server.ts'

/** Starts a server that calls `handler` for each request. */
export type ServeHandler = (t: ExecutionContext, options: ServerOptions, handler: () => void) => Promise<Served>

export function closingFacts(name: string, serve: ServeHandler): void {
  const cases = {
    'the second close()': false,
    'close() after the client has left': true,
  }
  for (const [what, leaves] of Object.entries(cases)) {
    test.serial(`${name}: ${what} does not interrupt a cleanup, and waits for it`, async (t) => {
      const log: string[] = []
      const cleanup = pending<void>()
      const { control, visit } = await serve(t, { grace: 60_000 }, () => {
        try {
          sleep(1e6)
        } finally {
          log.push('begins')
          wait(cleanup.promise)
          log.push('ends')
        }
      })
      const closed = visit('/')
      const ended = new Promise((resolve) => closed.on('close', resolve))
      await until(() => control.living.size === 1)
      const calls = leaves ? [] : [control.close({ grace: 10 })]
      if (leaves) closed.destroy()
      await until(() => log.length === 1)
      calls.push(control.close({ grace: 10 }), control.close({ grace: 0 }))
      const all = Promise.all(calls).then(() => log.push('closed'))
      // The grace of all of them is over, and each has tried to end what is left.
      await setTimeout(50)
      t.deepEqual(log, ['begins'])
      t.is(control.living.size, 1)
      cleanup.resolve()
      await all
      t.deepEqual(log, ['begins', 'ends', 'closed'])
      t.deepEqual(others(), [])
      await ended
    })
  }
}
