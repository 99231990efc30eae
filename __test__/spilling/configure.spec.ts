// configure(): limits and slots, also from environment variables.

import test from 'ava'
import { configure, Greenlet, GreenletError, runtimeInfo } from '../../js/index.ts'
import { fastOnly, LANE, NO_SPILLING } from '../helpers/lane.ts'
import { runProgram } from '../helpers/program.ts'

const { main } = Greenlet
const spilling = fastOnly(test.serial, NO_SPILLING)

function park(): Greenlet {
  const greenlet = new Greenlet(() => main.switch('parked'))
  greenlet.switch()
  return greenlet
}

test.afterEach('configure() restores the defaults', () => configure({}))

spilling('runtimeInfo() has the number of slots and of spilled stacks', (t) => {
  configure({ slots: 3 })
  t.like(runtimeInfo(), { slots: 3, spilled: 0, spilledBytes: 0 })
  const all = [park(), park(), park(), park()]
  t.like(runtimeInfo(), { slots: 3, spilled: 1 })
  for (const greenlet of all) greenlet.kill()
  configure({})
  t.is(runtimeInfo().slots, Number(process.env['GREENLETS_SLOTS'] ?? 1024))
})

test.serial('configure() throws while greenlets are live, and works again later', (t) => {
  const greenlet = park()
  const before = runtimeInfo().slots
  t.throws(() => configure({ slots: 2 }), { instanceOf: GreenletError, code: 'ERR_GREENLET_SLOTS_IN_USE' })
  t.is(runtimeInfo().slots, before)
  t.throws(() => new Greenlet(() => configure({})).switch(), { code: 'ERR_GREENLET_SLOTS_IN_USE' })
  greenlet.kill()
  configure({ slots: 2 })
  t.is(runtimeInfo().slots, 2)
})

test.serial('a greenlet over maxGreenlets throws, and no greenlet is affected', (t) => {
  configure({ maxGreenlets: 2, slots: LANE === 'fast' ? 1 : 2 })
  const all = [park(), park()]
  const late = new Greenlet((x) => `got ${x}`, { name: 'late' })
  for (let i = 0; i < 2; i++) {
    t.throws(() => late.switch('lost?'), {
      instanceOf: GreenletError,
      code: 'ERR_GREENLET_LIMIT',
      message: /^greenlet 'late' cannot start: .* let some finish/,
    })
    t.is(late.state, 'unstarted')
    t.is(Greenlet.current, main)
  }
  t.is(all[0]!.switch('end'), 'end')
  t.is(late.switch('it'), 'got it')
  t.is(all[1]!.switch('end'), 'end')
})

spilling('a limit on memory stops greenlets that start, and no others', (t) => {
  configure({ memory: 50_000, slots: 1 })
  const all: Greenlet[] = []
  const error = t.throws(
    () => {
      for (let i = 0; i < 1000; i++) all.push(park())
    },
    { instanceOf: GreenletError, code: 'ERR_GREENLET_LIMIT' },
  )
  t.regex(error.message, /\(\d+ bytes\)/)
  t.true(all.length > 5 && all.length < 100)
  for (const [i, greenlet] of all.entries()) t.is(greenlet.switch(i), i)
  all.length = 0
  t.notThrows(() => park().kill())
})

test.serial('wrong options throw errors that say what is allowed', (t) => {
  for (const slots of [0, -1, 1.5, 65_537, Infinity, 2 ** 40]) {
    const message = `slots must be an integer from 1 to 65536, not ${slots}`
    t.throws(() => configure({ slots }), { instanceOf: RangeError, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  for (const [options, message] of [
    [{ slots: '5' }, /\bslots\b.* number, not '5'/],
    [{ slots: NaN }, /\bslots\b.* number, not .*NaN/],
    [{ maxGreenlets: null }, /\bmaxGreenlets\b.* number, not null/],
    [{ memory: 5n }, /\bmemory\b.* number, not .*5/],
    [7, /configure\(\).*\bobject\b.*, not .*7/],
    [null, /configure\(\).*\bobject\b.*, not null/],
    [undefined, /configure\(\).*\bobject\b.*, not undefined/],
  ] as const) {
    t.throws(() => configure(options as never), { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  t.throws(() => configure({ maxGreenlets: 0 }), { instanceOf: RangeError, message: /\bmaxGreenlets\b.* 1 .*, not 0/ })
  t.throws(() => configure({ memory: 0.5 }), { instanceOf: RangeError, message: /\bmemory\b.* 1 .*, not 0\.5/ })
})

async function withEnvironment(environment: string, source: string): Promise<string> {
  const variables = Object.fromEntries(environment.split(' ').map((pair) => pair.split('=')))
  const before = `
for (const name of Object.keys(process.env)) if (name.startsWith('GREENLETS_')) delete process.env[name]
Object.assign(process.env, ${JSON.stringify(variables)})`
  const { stdout, stderr, code } = await runProgram(source, { before })
  return `${stdout}${stderr}${code}`
}

test('environment variables set the number of slots and the treatment of vacated stacks', async (t) => {
  const program = `
    const all = Array.from({ length: 5 }, () => new Greenlet((x) => x + main.switch('parked')))
    for (const g of all) g.switch(1)
    const { slots, spilled } = runtimeInfo()
    console.log(slots, spilled, ...all.map((g) => g.switch(2)))`
  t.is(await withEnvironment('GREENLETS_SLOTS=2', program), '2 3 3 3 3 3 3\n0')
  t.is(await withEnvironment('GREENLETS_SPILL=always GREENLETS_POISON=1', program), '1024 5 3 3 3 3 3\n0')
  t.is(await withEnvironment('GREENLETS_SLOTS=1 GREENLETS_POISON=protect', program), '1 4 3 3 3 3 3\n0')
})

test('configure({ slots }) takes precedence over GREENLETS_SLOTS', async (t) => {
  const program = `
    configure({ slots: 3 })
    console.log(runtimeInfo().slots)
    configure({})
    console.log(runtimeInfo().slots)`
  t.is(await withEnvironment('GREENLETS_SLOTS=5', program), '3\n5\n0')
})

test('without spilling each slot holds one greenlet', async (t) => {
  const program = `
    const all = Array.from({ length: 3 }, () => new Greenlet(() => main.switch('parked')))
    try { for (const g of all) g.switch() } catch (error) { console.log(error.code) }
    console.log(all[0].switch('on'), all[2].switch())`
  t.is(await withEnvironment('GREENLETS_SLOTS=2 GREENLETS_SPILL=never', program), 'ERR_GREENLET_NO_SLOT\non parked\n0')
})

test('a wrong environment variable is the reason for which greenlets are not supported', async (t) => {
  const program = 'console.log(runtimeInfo().supported, runtimeInfo().reason)'
  for (const slots of ['0', 'many', '65537', '-1']) {
    const reason = `GREENLETS_SLOTS must be 1 to 65536, not '${slots}'`
    t.is(await withEnvironment(`GREENLETS_SLOTS=${slots}`, program), `false ${reason}\n0`)
  }
  t.regex(await withEnvironment('GREENLETS_SPILL=sometimes', program), /^false GREENLETS_SPILL must be/)
  t.regex(await withEnvironment('GREENLETS_LANE=slow', program), /^false GREENLETS_LANE must be/)
  t.regex(await withEnvironment('GREENLETS_POISON=arsenic', program), /^false GREENLETS_POISON must be/)
})

fastOnly(test, NO_SPILLING)(
  'with little address space there are fewer slots, and asking for more throws and changes nothing',
  async (t) => {
    const { stdout, stderr, code } = await runProgram(`
    const { execFileSync } = await import('node:child_process')
    const { readFileSync } = await import('node:fs')
    // Like \`ulimit -v\`, but with space for the gigabytes of address space that Node.js has by now.
    const used = 1024 * /VmSize:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]
    execFileSync('prlimit', ['--pid', process.pid, '--as=' + (used + 700 * 2 ** 20)])
    const { supported, slots } = runtimeInfo()
    console.log(supported, slots)
    const all = Array.from({ length: 1000 }, () => new Greenlet((x) => x + main.switch('parked')))
    for (const g of all) g.switch(1)
    console.log(runtimeInfo().spilled === 1000 - slots, all.every((g) => g.switch(2) === 3))
    try { configure({ slots: 5000 }) } catch (error) { console.log(error.code, error.message) }
    console.log(runtimeInfo().slots === slots, all.every((g) => g.dead), new Greenlet((x) => x).switch('goes on'))`)
    const [, slots] = /^true (\d+)$/m.exec(stdout) ?? []
    t.true(['512', '256', '128'].includes(slots!), stdout + stderr)
    const refusal = 'ERR_GREENLET_NO_MEMORY no address space for 5000 stack slots; ask for fewer'
    const lines = [`true ${slots}`, 'true true', refusal, 'true true goes on', '']
    t.deepEqual({ code, stdout }, { code: 0, stdout: lines.join('\n') }, stderr)
  },
)
