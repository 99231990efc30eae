// Builds the add-on of the tests, and loads it in as many copies as are asked for: each is an add-on of its own to Node.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')
const SOURCE = join(ROOT, '__test__/addon/addon.c')
const HOME = join(ROOT, 'target/addon')
const BUILT = join(HOME, 'addon.node')
const HEADERS = join(ROOT, 'node_modules/node-api-headers/include')

type Call = <T>(fn: () => T) => T

/** What it exports; see addon.c. */
export interface Addon {
  noScope: Call
  handleScopes: (fn: () => unknown) => boolean
  escapable: Call
  callbackScope: Call
  makeCallback: Call
  finalized(object: object, fn: () => void): void
  collecting(when: 0 | 1, fn: () => void): void
  hammer(): void
  hammered(stop: boolean): [requested: number, served: number, slowestMicroseconds: number, waits: 0 | 1]
}

/** Loads it; another name is another copy. */
export function loadAddon(name = 'addon'): Addon {
  build()
  const file = join(HOME, `${name}.node`)
  if (!existsSync(file) || statSync(file).mtimeMs < statSync(BUILT).mtimeMs)
    inPlace(file, (to) => copyFileSync(BUILT, to))
  return createRequire(import.meta.url)(file) as Addon
}

function build(): void {
  if (existsSync(BUILT) && statSync(BUILT).mtimeMs > statSync(SOURCE).mtimeMs) return
  mkdirSync(HOME, { recursive: true })
  inPlace(BUILT, (to) => {
    execFileSync('gcc', [
      '-shared',
      '-fPIC',
      '-O1',
      '-Wall',
      '-Werror',
      '-DNAPI_VERSION=8',
      `-I${HEADERS}`,
      '-o',
      to,
      SOURCE,
    ])
  })
}

/** Several tests may want it at the same time. */
function inPlace(file: string, make: (to: string) => void): void {
  const made = `${file}.${process.pid}`
  make(made)
  renameSync(made, file)
}
