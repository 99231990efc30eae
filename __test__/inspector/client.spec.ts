// A debugger in a process of its own, as in an editor.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'

const CLIENT = join(import.meta.dirname, 'client.mjs')
/** Node 20 has WebSocket behind a flag. */
const WITH_SOCKETS = process.versions.node.startsWith('20.') ? ['--experimental-websocket', '--no-warnings'] : []

for (const flags of [[], ['--always-sparkplug']]) {
  test(`a client pauses, steps and evaluates while greenlets take turns ${flags.join(' ')}`, async (t) => {
    const { stdout } = await promisify(execFile)(process.execPath, [...WITH_SOCKETS, CLIENT, ...flags])
    const { pauses, ...rest } = JSON.parse(stdout)
    t.true(pauses > 8, `${pauses} pauses`)
    t.deepEqual(rest, { tags: 8, readable: true, refused: true, breakpoints: 10, stayed: true, end: 0, stderr: '' })
  })
}
