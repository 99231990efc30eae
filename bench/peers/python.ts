/** Measures Python's greenlet, as pip installs it for the newest Python here. */

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Figures } from '../rig.ts'

const GREENLET = '3.5.6'

export interface Python {
  /** Of both. */
  readonly version: string
  measure(...args: string[]): Figures
}

/** Finds the newest Python; `folder` is for greenlet. If there is none, prints the reason and returns undefined. */
export function findPython(root: string, folder: string): Python | undefined {
  const found = candidates().flatMap((bin) => {
    const version = quietly(bin, ['-c', 'import platform; print(platform.python_version())'])
    return version === undefined ? [] : [{ bin, version }]
  })
  const [newest] = found.toSorted((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }))
  if (newest === undefined) return missing('no Python')
  const { bin, version } = newest
  const home = join(folder, `greenlet-${GREENLET}-python-${version}`)
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--root-user-action=ignore']
  if (!existsSync(home) && quietly(bin, [...pip, '--target', home, `greenlet==${GREENLET}`]) === undefined)
    return missing(`pip of Python ${version} does not install greenlet ${GREENLET}`)
  return {
    version: `greenlet ${GREENLET}, Python ${version}`,
    measure(...args) {
      const env = { ...process.env, PYTHONPATH: home }
      const stdio = ['ignore', 'pipe', 'inherit'] as const
      const output = execFileSync(bin, [join(root, 'bench/peers/python.py'), ...args], {
        encoding: 'utf8',
        env,
        stdio: [...stdio],
      })
      return JSON.parse(output)
    },
  }
}

/** The Pythons on the path, and those of pyenv, which are on the path only one at a time. */
function candidates(): string[] {
  const versions = join(process.env['PYENV_ROOT'] ?? join(process.env['HOME'] ?? '', '.pyenv'), 'versions')
  const others = existsSync(versions) ? readdirSync(versions) : []
  return ['python3', ...others.map((version) => join(versions, version, 'bin/python3'))]
}

function quietly(bin: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(bin, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

function missing(why: string): undefined {
  console.log(`Python's greenlet is not measured: ${why}`)
}
