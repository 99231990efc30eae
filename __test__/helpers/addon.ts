// Builds the add-on of the tests and loads copies of it. Node treats each copy as an add-on of its own.

import { copyFileSync, existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { inPlace, ROOT, sharedObject } from './shared-object.ts'

const HEADERS = join(ROOT, 'node_modules/node-api-headers/include')

type Call = <T>(fn: () => T) => T

/** The exports of the add-on; see addon.c. */
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

/** Loads the add-on. Another name loads another copy. */
export function loadAddon(name = 'addon'): Addon {
  const built = sharedObject('addon/addon.c', 'addon.node', ['-DNAPI_VERSION=8', `-I${HEADERS}`])
  const file = join(dirname(built), `${name}.node`)
  if (!existsSync(file) || statSync(file).mtimeMs < statSync(built).mtimeMs)
    inPlace(file, (to) => copyFileSync(built, to))
  return createRequire(import.meta.url)(file) as Addon
}
