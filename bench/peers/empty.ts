/** The add-on of `empty.c`: `buildEmpty` builds it, and `loadEmpty` loads it from the path in its environment variable. */

import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const VARIABLE = 'GREENLETS_BENCH_EMPTY'

/** Returns the environment variable with which `loadEmpty` finds the add-on that this builds. */
export function buildEmpty(root: string, folder: string): Readonly<Record<string, string>> {
  const file = join(folder, 'empty.node')
  const headers = join(root, 'node_modules/node-api-headers/include')
  const source = join(root, 'bench/peers/empty.c')
  execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-Werror', `-I${headers}`, '-o', file, source])
  return { [VARIABLE]: file }
}

/** Returns the function that does nothing. */
export function loadEmpty(): () => void {
  return createRequire(import.meta.url)(process.env[VARIABLE]!) as () => void
}
