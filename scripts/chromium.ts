// Finds Debian's Chromium, or fetches it from the machine's own Debian archive and unpacks it in .nodes; nothing is installed.

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { librariesOf, unpackMissing, whyNotDebian } from './debian.ts'
import { HOME, made } from './nodes.ts'

/** A browser, and the environment that it needs. */
export interface Browser {
  readonly program: string
  readonly env: NodeJS.ProcessEnv
}

/** A text is the reason why this machine cannot have it. */
export function findChromium(): Browser | string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const installed = folders.map((folder) => join(folder, 'chromium')).find((file) => existsSync(file))
  if (installed !== undefined) return { program: installed, env: process.env }
  const reason = whyNotDebian()
  if (reason !== undefined) return `Chromium is not installed, and ${reason}`
  const root = made(join(HOME, 'chromium'), (partial) => unpackMissing(['chromium'], partial))
  return {
    program: join(root, 'usr/lib/chromium/chromium'),
    env: { ...process.env, LD_LIBRARY_PATH: librariesOf(root) },
  }
}
