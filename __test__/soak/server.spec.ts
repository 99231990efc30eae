import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'

/** `make soak` runs it for minutes. */
const SECONDS = '4'

test('an HTTP server with handlers in greenlets answers every client, and leaves nothing of clients that disconnect', async (t) => {
  const program = join(import.meta.dirname, 'server.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [program, SECONDS], { timeout: 60_000 })
  const { sums, uploads, chunked, errors, aborted } = JSON.parse(stdout.split('\n')[0]!)
  t.true(Math.min(sums, uploads, chunked, errors, aborted) > 5, stdout)
  t.true(stdout.endsWith('ok\n'), stdout)
})
