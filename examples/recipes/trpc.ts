// tRPC: a procedure that waits. tRPC awaits the parsing of the input before it calls the procedure, so that is made `blocking`.
// The procedures of a batch run at the same time.

import { setTimeout } from 'node:timers/promises'
import { initTRPC } from '@trpc/server'
import { blocking, wait } from '../../js/index.ts'

const price = (article: string): number => wait(setTimeout(5, article.length))

const t = initTRPC.create()
const router = t.router({
  total: t.procedure
    .input((input: unknown) => {
      if (Array.isArray(input)) return input as string[]
      throw new Error('a list of articles, please')
    })
    .query(blocking(({ input }: { input: string[] }) => input.reduce((sum, article) => sum + price(article), 0))),
})

const caller = router.createCaller({})
console.log(await Promise.all([caller.total(['apple', 'pear']), caller.total(['plum'])]))
try {
  await caller.total('plum' as never)
} catch (error) {
  console.log((error as Error).message)
}
