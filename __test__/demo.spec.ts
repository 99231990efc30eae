import test from 'ava'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')

test('the demo runs, and its checks pass', async (t) => {
  // The demo checks what it prints, and fails if it is wrong.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, '--import=@oxc-node/core/register', 'examples/demo.ts'],
    { cwd: ROOT },
  )
  t.regex(stdout, /200 answers, each the right one\.\n/)
  const served = [...stdout.matchAll(/^(\S+) gave 100 answers, each the right one\.$/gm)].map(([, name]) => name)
  t.deepEqual(served, ['Express', 'Koa', 'Fastify', 'Hono', 'h3', 'node:http'])
  t.is(stdout.match(/^90 requests are parked here:\n\n +at #price /gm)?.length, served.length)
  t.regex(stdout, /open target\/demo\.html in a browser\.\n$/)
})
