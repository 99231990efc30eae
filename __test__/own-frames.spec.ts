// Snapshots leave out the package's own frames, also under loaders and bundlers that change names, paths and scripts.

import { fileURLToPath } from 'node:url'
import test from 'ava'
import { runNode } from './helpers/program.ts'

const PROGRAM = fileURLToPath(new URL('helpers/loaded.mjs', import.meta.url))

for (const [how, argument] of [
  ['with the program in one script', 'bundle'],
  ['each module as a script with a path', 'scripts'],
] as const) {
  test(`frames of the package are left out, and no frames of the program, when a loader runs it: ${how}`, async (t) => {
    const { code, stdout, stderr } = await runNode([PROGRAM, argument], {})
    t.is(code, 0, stderr)
    const { main, ...seen } = JSON.parse(stdout) as Record<string, unknown[]>
    t.deepEqual(seen, {
      switched: ['switchTo', 'block', 'begin'],
      unstarted: [],
      waiting: ['wait_', 'runSpawned'],
      sleeping: ['startTimer', 'entry'],
      joining: ['join'],
    })
    t.true(main!.includes('load_'))
    t.false(main!.includes('deliver'))
  })
}
