// Tests the addons that are published on other Nodes than the four of every other stage: the first and the newest release of each major,
// Debian's Node, and Node for musl and for AArch64. Everything is fetched once, into `.nodes/`.

import { join, resolve } from 'node:path'
import { whyNotDebian } from '../debian.ts'
import { arm64, debianNode, musl, muslArm64, official, type Platform } from '../platforms.ts'
import { run, twoAtOnce } from '../run.ts'
import { countedProgram, sum, type Tally } from '../tally.ts'

const TESTS = resolve(import.meta.dirname, '../../__test__')
const SECONDS_PER_PROGRAM = 600

/** The first release of each major that package.json allows, and the newest one where `testedNodes` has an older one. */
const OFFICIAL = ['20.19.0', '22.12.0', '22.23.5', '24.0.0', '24.22.3', '26.0.0', '26.12.1']
/** The newest of each major that there is for musl. */
const MUSL = ['20.18.0', '22.20.0', '24.19.0']
const ARM64 = '24.21.0'
/** `make test-arm64` runs these, too. */
const MORE_ARM64 = ['20.20.2', '22.23.3', '26.12.1']

const EVERYTHING = 'platforms/everything.mjs'
/** Programs that are sensitive to what a C library does: threads, their stacks, memory. */
const SENSITIVE = ['parked', 'overflow', 'spilling', 'workers'].map((name) => `torture/${name}.mjs`)
/** `spilling` tests what is not done on AArch64; `terminated` has time limits that are not meant for an emulator. */
const ALL_BUT_SPILLING = ['parked', 'overflow', 'waiting', 'among', 'context', 'workers'].map(
  (name) => `torture/${name}.mjs`,
)

interface Run {
  readonly platform: Platform
  readonly program: string
}

export async function platforms(): Promise<Tally> {
  const runs: Run[] = OFFICIAL.map(official).map((platform) => ({ platform, program: EVERYTHING }))
  const reason = whyNotDebian()
  if (reason !== undefined) {
    console.log(`  not run: Node for musl and AArch64, and Debian's: ${reason}`)
    return tested(runs)
  }
  for (const version of MUSL) runs.push(...each(musl(version), [EVERYTHING, ...SENSITIVE]))
  for (const platform of [arm64(ARM64), muslArm64(MUSL.at(-1)!)]) runs.push(...each(platform, [EVERYTHING]))
  const debian = debianNode()
  if ('reason' in debian) console.log(`  not run: ${debian.name}: ${debian.reason}`)
  else runs.push(...each(debian, [EVERYTHING]))
  return tested(runs)
}

/** More of AArch64 than `make test` has time for: qemu is slow. */
export async function arm64Whole(): Promise<Tally> {
  const reason = whyNotDebian()
  if (reason !== undefined) throw new Error(reason)
  const nodes = [ARM64, ...MORE_ARM64].map(arm64)
  return tested(
    [...nodes, muslArm64(MUSL.at(-1)!)].flatMap((platform) => each(platform, [EVERYTHING, ...ALL_BUT_SPILLING])),
  )
}

const each = (platform: Platform, programs: readonly string[]): Run[] =>
  programs.map((program) => ({ platform, program }))

async function tested(runs: readonly Run[]): Promise<Tally> {
  const tallies = await twoAtOnce(runs, async ({ platform, program }) => {
    const [command, ...first] = platform.command
    const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: platform.addon }
    const options = { env, limit: SECONDS_PER_PROGRAM }
    const outcome = await run(command!, [...first, '--expose-gc', join(TESTS, program)], options)
    return countedProgram(`${platform.name}, ${program}`, outcome)
  })
  return sum(tallies)
}
