// Which suspended stacks a minor collection visits. It skips stacks without young objects, unless V8 may leave young objects where
// they are: then a skipped stack would point to memory that V8 has reused. The time of a collection shows which stacks it visits.

import test from 'ava'
import { fastOnly } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

const NO_SKIPPING = 'every collection visits all stacks there'

/** Milliseconds of the fastest minor collection while 3,000 greenlets are suspended, of which none has young objects. */
async function minorCollection(flags: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const { stdout } = await runProgram(
    `
    const park = (depth) => (depth === 0 ? main.switch() : park(depth - 1))
    globalThis.kept = Array.from({ length: 3000 }, () => new Greenlet(park))
    for (const g of kept) g.switch(3)
    let fastest = Infinity
    for (let i = 0; i < 30; i++) {
      const start = performance.now()
      gc({ type: 'minor' })
      fastest = Math.min(fastest, performance.now() - start)
    }
    console.log(fastest)
    process.exit()`,
    { flags: ['--expose-gc', ...flags], env },
  )
  return stdout === '' ? Number.NaN : Number(stdout)
}

// Visiting all of them takes 40 to 80 times as long.
const MUCH_LONGER = 8
const PINNING = ['--conservative-stack-scanning']
if (Number.parseInt(process.versions.node) >= 24) PINNING.push('--precise-object-pinning')

for (const flag of PINNING) {
  fastOnly(test, NO_SKIPPING)(`a minor collection visits all suspended stacks with ${flag}`, async (t) => {
    const [skipping, visiting] = [await minorCollection([]), await minorCollection([flag])]
    t.true(visiting > MUCH_LONGER * skipping, `${visiting} ms with the flag, ${skipping} ms without`)
  })
}

fastOnly(test, NO_SKIPPING)('a minor collection visits all suspended stacks with GREENLETS_SCAN=all', async (t) => {
  const [skipping, visiting] = [await minorCollection([]), await minorCollection([], { GREENLETS_SCAN: 'all' })]
  t.true(visiting > MUCH_LONGER * skipping, `${visiting} ms with the variable, ${skipping} ms without`)
})

fastOnly(test, NO_SKIPPING)(
  'the first minor collection after a full one skips all stacks that were suspended in it',
  async (t) => {
    const { stdout } = await runProgram(
      `
    const forever = () => { for (;;) main.switch() }
    const descend = (depth) => (depth === 0 ? forever() : descend(depth - 1))
    globalThis.kept = Array.from({ length: 3000 }, () => new Greenlet(descend))
    const minor = (before) => {
      let fastest = Infinity
      for (let i = 0; i < 10; i++) {
        for (const g of kept) g.switch(3)
        before()
        const start = performance.now()
        gc({ type: 'minor' })
        fastest = Math.min(fastest, performance.now() - start)
      }
      return fastest
    }
    console.log(JSON.stringify([minor(gc), minor(() => {})]))
    process.exit()`,
      { flags: ['--expose-gc'] },
    )
    const [skipping, visiting] = JSON.parse(stdout) as [number, number]
    t.true(
      visiting > MUCH_LONGER * skipping,
      `${visiting} ms when they have run since, ${skipping} ms after a full collection`,
    )
  },
)
