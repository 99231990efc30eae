// A debugger that is a process of its own, as an editor's is.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'

const CLIENT = join(import.meta.dirname, 'client.mjs')
/** Node 20 has WebSocket behind a flag. */
const WITH_SOCKETS = process.versions.node.startsWith('20.') ? ['--experimental-websocket', '--no-warnings'] : []

for (const flags of [[], ['--always-sparkplug']]) {
  test(`a client pauses, steps, evaluates and profiles while greenlets take turns ${flags.join(' ')}`, async (t) => {
    const { stdout } = await promisify(execFile)(process.execPath, [...WITH_SOCKETS, CLIENT, ...flags], {
      timeout: 100_000,
    })
    const { pauses, inWork, tags, samples, ...rest } = JSON.parse(stdout)
    t.true(pauses > 30, `${pauses} pauses`)
    t.true(inWork > 5, `${inWork} of them in greenlets`)
    t.true(tags > 1, `of ${tags} greenlets`)
    t.true(samples > 5, `${samples} samples in greenlets`)
    t.deepEqual(rest, { readable: true, refused: true, breakpoints: 10, stayed: 1, end: 0, stderr: '' })
  })
}
