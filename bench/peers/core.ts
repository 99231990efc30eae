/** Measures the core without an engine, and its peers in Rust, by `cargo bench`: with the addon's switch, and a switch by our own. */

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Figure, type Figures, summary } from '../rig.ts'

/** Bytes of each. */
const MEMORY = /^(core: memory, \d+) suspended: (\d+) bytes each$/m
const AT_HOME = 'core: switch, 2 KB, at home'
const SPILLED = 'core: switch, 2 KB, spilled'

const OWN_SWITCH = ['--features=own-switch']

/** All times, each measured for half a second. */
export function measureCore(root: string): Figures {
  const options = ['--warm-up-time=0.3', '--measurement-time=0.5', '--noplot']
  cargoBench(root, 'core', [], ...options)
  cargoBench(root, 'peers', [], ...options)
  cargoBench(root, 'core', OWN_SWITCH, ...options, 'own-switch')
  const home = join(root, 'target/criterion')
  const figures: Record<string, Figure> = {}
  for (const entry of readdirSync(home, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const read = (file: string) => JSON.parse(readFileSync(join(home, entry.name, 'new', file), 'utf8'))
    const { iters, times } = read('sample.json') as Record<'iters' | 'times', number[]>
    figures[read('benchmark.json').full_id] = summary(times.map((time, i) => time / iters[i]!))
  }
  const [atHome, spilled] = [figures[AT_HOME]!, figures[SPILLED]!]
  figures['core: spill and unspill'] = {
    min: spilled.min - atHome.min,
    median: spilled.median - atHome.median,
  }
  return figures
}

export function measureCoreMemory(root: string): Figures {
  const [, name, bytes] = MEMORY.exec(cargoBench(root, 'memory', [])) ?? []
  if (name === undefined) throw new Error("'cargo bench --bench memory' did not say how many bytes")
  return { [name]: { min: Number(bytes), median: Number(bytes) } }
}

function cargoBench(root: string, name: string, features: readonly string[], ...args: string[]): string {
  const options = ['--quiet', '--package=greenlets-core', ...features, `--bench=${name}`]
  return execFileSync('cargo', ['bench', ...options, '--', ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}
